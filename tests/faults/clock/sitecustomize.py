"""Makes the wall clock jump: the seconds in the file FAKE_OFFSET are added to `time.time`, `time.time_ns` and
`datetime.now`. Monotonic clocks stay correct, unless the seconds in the file FAKE_STEADY move `time.monotonic_ns`, with
which the operator measures its delays; the event loop uses `time.monotonic`.

Python imports this by its name where the folder is on PYTHONPATH.
"""

import ctypes
import gc
import os
import time
from datetime import datetime, timedelta, tzinfo

_file = os.environ.get("FAKE_OFFSET", "")
_steady = os.environ.get("FAKE_STEADY", "")
_monotonic_ns = time.monotonic_ns
_time, _time_ns, _now = time.time, time.time_ns, datetime.now


def _offset(file: str = _file) -> int:
    try:
        with open(file, encoding="utf-8") as handle:  # noqa: PTH123  (nothing more is imported this early)
            return int(handle.read() or 0)
    except (OSError, ValueError):
        return 0


def _shifted(_: type[datetime], tz: tzinfo | None = None) -> datetime:
    return _now(tz) + timedelta(seconds=_offset())


if _steady:
    time.monotonic_ns = lambda: _monotonic_ns() + _offset(_steady) * 1_000_000_000
if _file:
    time.time = lambda: _time() + _offset()
    time.time_ns = lambda: _time_ns() + _offset() * 1_000_000_000
    # `datetime` is written in C and cannot be assigned to. A subclass in its place would be rejected where C code
    # checks for the type itself. Its dictionary is reachable through its read-only view.
    gc.get_referents(datetime.__dict__)[0]["now"] = classmethod(_shifted)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime))
