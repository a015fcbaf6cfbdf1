"""What holds for every process that runs tests."""

import os

# They are measured, and not what they start: an operator would take half as long again, and there are hundreds.
os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
os.environ.pop("COVERAGE_PROCESS_START", None)
