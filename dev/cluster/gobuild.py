"""Runs one `go build`, and prints its progress every few seconds; after a failure, the cause and a remedy."""

import re
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dev.cluster.process import dying_with_parent

Progress = Callable[[str], None]

TICK = 15.0  # seconds between two lines of progress
TAIL = 25  # lines of go's output that a failure shows

# Pattern of go's output → remedy; the first match counts.
_REMEDIES = (
    (
        r"no space left on device",
        "free about 4 GB, or set POLICYHUB_CACHE, GOCACHE and GOMODCACHE to folders on a larger disk",
    ),
    (r"signal: killed|cannot allocate memory", "the compiler ran out of memory: about 3 GB must be free"),
    (
        r"dial tcp|no such host|i/o timeout|x509|TLS handshake|connection re|403 Forbidden|407 |502 |503 ",
        "the modules could not be downloaded: set GOPROXY to a module proxy that this machine can reach",
    ),
    (
        r"checksum mismatch|SECURITY ERROR",
        "a module differs from its checksum in go.sum: do not build; ask the proxy's owner",
    ),
    (r"C compiler .* not found", "install a C compiler: Debian's gcc and libc6-dev"),
    (
        r"permission denied|read-only file system",
        "set POLICYHUB_CACHE, GOCACHE and GOMODCACHE to writable folders",
    ),
)


def silent(_: str) -> None:
    """A Progress that prints nothing."""


@dataclass(slots=True)
class Output:
    """The output of `go build -v` so far: modules that it downloads, then packages that it compiles."""

    downloaded: int = 0
    compiled: int = 0
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))

    def add(self, line: str) -> None:
        if line.startswith("go: downloading "):
            self.downloaded += 1
        elif re.fullmatch(r"[\w.~/-]+", line):
            self.compiled += 1
        else:
            self.tail.append(line)

    def doing(self, packages: int) -> str:
        """`packages`: about how many are compiled if nothing is cached."""
        if self.compiled:
            return f"compiled {self.compiled} of at most {max(packages, self.compiled)} packages, then links"
        if self.downloaded:
            return f"downloading modules, {self.downloaded} so far"
        return "reading the cached modules and packages"


@dataclass(frozen=True, slots=True)
class GoBuild:
    argv: tuple[str, ...]
    folder: Path
    environ: Mapping[str, str]
    packages: int

    def run(self, name: str, *, progress: Progress) -> str | None:
        """None if the build succeeded, else a message for the user."""
        started = time.monotonic()
        output = Output()
        with subprocess.Popen(
            dying_with_parent(self.argv),
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            reader = threading.Thread(target=_read, args=(process, output), daemon=True)
            reader.start()
            try:
                while process.poll() is None:
                    try:
                        process.wait(TICK)
                    except subprocess.TimeoutExpired:
                        progress(f"  {name}: {duration(time.monotonic() - started)}, {output.doing(self.packages)}")
            except BaseException:
                process.terminate()  # an interrupted build leaves no process
                raise
            reader.join()
        if process.returncode == 0:
            progress(f"  {name}: built in {duration(time.monotonic() - started)}")
            return None
        return explain(name, process.returncode, list(output.tail))


def explain(name: str, code: int, tail: list[str]) -> str:
    text = "\n".join(tail)
    remedy = next((remedy for pattern, remedy in _REMEDIES if re.search(pattern, text)), None)
    lines = [f"go build of {name} ended with {code}:", *(f"  {line}" for line in tail)]
    return "\n".join([*lines, f"Possible remedy: {remedy}"] if remedy else lines)


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _read(process: subprocess.Popen[str], output: Output) -> None:
    assert process.stdout is not None  # noqa: S101 - opened with a pipe above; tells mypy
    for line in process.stdout:
        output.add(line.rstrip())
