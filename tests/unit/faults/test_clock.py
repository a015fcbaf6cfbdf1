"""The fake clock of the fault bench jumps for every function that reads the wall clock."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.harness import CLOCK

PROGRAM = """
import datetime, json, time
from datetime import datetime as same, timezone
print(json.dumps([
    time.time(), time.time_ns() / 1e9, datetime.datetime.now().timestamp(), same.now(timezone.utc).timestamp(),
    same.now(tz=timezone.utc).timestamp(), time.monotonic(),
]))
assert type(same.now()) is same
"""


@pytest.mark.parametrize("seconds", [0, 7200, -7200])
def test_clocks_jump_together(tmp_path: Path, seconds: int) -> None:
    """All wall-clock functions are off by the seconds in the file; the monotonic clock is not."""
    offset = tmp_path / "offset"
    offset.write_text(str(seconds))
    environment = {**os.environ, "FAKE_OFFSET": str(offset), "PYTHONPATH": str(CLOCK)}
    done = subprocess.run(  # noqa: S603  (our own interpreter)
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    *walls, steady = json.loads(done.stdout)
    assert [wall - seconds for wall in walls] == pytest.approx([time.time()] * len(walls), abs=60)
    assert steady == pytest.approx(time.monotonic(), abs=60)
