"""What holds for every process that runs tests."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def only_tests_are_measured() -> None:
    """Not what they start: an operator would take half as long again, and there are hundreds."""
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    os.environ.pop("COVERAGE_PROCESS_START", None)
