"""Makes the clock on the wall jump: the seconds in the file FAKE_OFFSET are added to it. Monotonic clocks stay right.

Python imports this by its name where the folder is on PYTHONPATH.
"""

import os
import time

_file = os.environ.get("FAKE_OFFSET", "")
_time, _time_ns = time.time, time.time_ns


def _offset() -> int:
    try:
        with open(_file, encoding="utf-8") as handle:  # noqa: PTH123  (nothing more is imported this early)
            return int(handle.read() or 0)
    except (OSError, ValueError):
        return 0


if _file:
    time.time = lambda: _time() + _offset()
    time.time_ns = lambda: _time_ns() + _offset() * 1_000_000_000
