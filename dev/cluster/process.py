"""Child processes that die with this one.

The kernel sends the parent-death signal when the *thread* that started the child ends. So a `Launcher` starts all
children from one thread, which lives until `close` or the end of the process.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_SCRIPT = Path(__file__).with_name("die_with_parent.py")


def dying_with_parent(argv: Sequence[str | Path]) -> list[str | Path]:
    """The command that runs `argv` and dies with the calling thread. `argv[0]` must be a path."""
    return [sys.executable, "-I", "-S", _SCRIPT, str(os.getpid()), *argv]


class Child:
    """A started program. Its output goes to the file `log`."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def stop(self, *, grace: float = 10.0) -> None:
        """SIGTERM, and SIGKILL after `grace` seconds; returns when it has exited."""
        if self.returncode is None:
            self._process.terminate()
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL for the process and its own children."""
        if self.returncode is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()

    def wait(self, timeout: float) -> int:
        """Raises subprocess.TimeoutExpired."""
        return self._process.wait(timeout)

    def tail(self, lines: int = 20) -> str:
        """The last lines of its output, for error messages."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 64 * 1024))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


class Launcher:
    """Starts children; `close` stops those that run, the last started first."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="launcher")
        self._children: list[Child] = []

    def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Child:
        """`argv[0]` must be a path. Output is appended to `log`. Ctrl-c in the terminal does not reach the child."""
        return self._thread.submit(self._start, name, argv, log, env, cwd).result()

    def close(self) -> None:
        for child in reversed(self._children):
            child.stop()
        self._children.clear()
        self._thread.shutdown()

    def _start(
        self, name: str, argv: Sequence[str | Path], log: Path, env: Mapping[str, str] | None, cwd: Path | None
    ) -> Child:
        with log.open("ab") as output:
            process = subprocess.Popen(
                dying_with_parent(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        child = Child(name, process, log)
        self._children = [*(other for other in self._children if other.returncode is None), child]
        return child
