"""Child processes end with their parent, and on request."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dev.cluster.process import Launcher

SLEEP = ["/bin/sh", "-c", "echo ready; exec sleep 600"]
STUBBORN = "trap '' TERM; echo ready > \"$0\"; exec sleep 600"
PARENT = """
import sys, time
from pathlib import Path
from dev.cluster.process import Launcher

print(Launcher().start("child", ["/bin/sleep", "600"], log=Path(sys.argv[1])).pid, flush=True)
time.sleep(600)
"""


def test_close_ends_all(tmp_path: Path) -> None:
    """`close` ends running children, and leaves no zombie."""
    launcher = Launcher()
    children = [launcher.start(name, SLEEP, log=tmp_path / name) for name in ("a", "b")]
    children[0].kill()
    assert children[0].returncode == -signal.SIGKILL
    launcher.close()
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child.pid, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child with its parent")
def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    """Even if the parent is killed without warning."""
    with subprocess.Popen(  # noqa: S603 - this Python with the text above
        [sys.executable, "-c", PARENT, tmp_path / "log"], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    try:
        assert _ended(child)
    finally:
        os.close(child)


def test_stubborn_child_is_killed(tmp_path: Path) -> None:
    """A child that ignores SIGTERM is killed after the grace."""
    launcher = Launcher()
    fifo = tmp_path / "ready"
    os.mkfifo(fifo)
    child = launcher.start("stubborn", ["/bin/sh", "-c", STUBBORN, fifo], log=tmp_path / "log")
    assert fifo.read_text() == "ready\n"
    child.stop(grace=0.1)
    assert child.returncode == -signal.SIGKILL
    launcher.close()


def test_tail_of_the_log(tmp_path: Path) -> None:
    """The end of a child's output, errors included, is readable after it ended."""
    launcher = Launcher()
    child = launcher.start("talker", ["/bin/sh", "-c", "seq 1 50; echo oops >&2; exit 3"], log=tmp_path / "log")
    assert child.wait(30) == 3
    assert child.tail(3) == "49\n50\noops"
    launcher.close()


def _ended(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], 30)[0])
