"""Assembles the image's root folder from a build stage: the interpreter, the libraries that it loads, the virtual
environment and the CA certificates. No shell, no package manager, no pip.

    python root.py ENVIRONMENT TARGET      as root, in a stage of the Debian family

The omitted parts of the standard library need a terminal, a display, a compiler or a database, and are never imported.
The target depends only on the stage's content: times are SOURCE_DATE_EPOCH, and bytecode is compiled again, valid
whatever the time of its source (the operator's root is read-only, so it cannot be compiled later).

The Debian packages of the files are declared in `/var/lib/dpkg/status.d`, with their copyright files: scanners read
that in images without a package manager.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

USER = 65532
LEFT_OUT = frozenset(
    {
        *("curses", "dbm", "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "sqlite3", "test", "tkinter"),
        *("turtle.py", "turtledemo", "venv", "__pycache__", "site-packages", "dist-packages", "EXTERNALLY-MANAGED"),
        *("_curses", "_curses_panel", "_dbm", "_gdbm", "_sqlite3", "_tkinter", "nis", "ossaudiodev", "readline"),
    }
)
"""Omitted folders, files and extension modules of the standard library, by name."""
LEFT_OUT_ALSO = re.compile(r"config-|_test|_xxtest|_ctypes_test|xxlimited|xxsubtype|.*\.a$")
PLAIN = (
    "/etc/debian_version",
    "/etc/os-release",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/openssl.cnf",
    "/usr/lib/ssl/openssl.cnf",
)
WRITTEN = {
    "etc/passwd": f"root:x:0:0:root:/:/sbin/nologin\npolicyhub:x:{USER}:{USER}:policyhub:/nonexistent:/sbin/nologin\n",
    "etc/group": f"root:x:0:\npolicyhub:x:{USER}:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
FOLDERS = ("dev", "proc", "run", "sys", "var")
"""The runtime mounts over some of them, and cannot create them."""

Command = tuple[str | Path, ...]
Skip = Callable[[str], bool]


class RootError(Exception):
    """The stage lacks something that the image needs."""


def main(environment: Path, target: Path) -> None:
    root = Root(target)
    for link in (Path("/lib"), Path("/lib64")):
        if link.is_symlink():
            root.add(link)
    for folder in sorted({Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}):
        root.add_tree(folder, left_out)
    for name in ("bin/python", "bin/policyhub", "pyvenv.cfg"):
        root.add(environment / name)
    root.add_tree(environment / "lib", "__pycache__".__eq__)
    loaded = [path for path in libraries(root.programs()) if not path.is_relative_to(environment)]
    for path in loaded:
        root.add(path)
    for plain in PLAIN:
        root.add(Path(plain))
    root.write()
    declare(root)
    root.seal({path.parent for path in loaded}, int(os.environ.get("SOURCE_DATE_EPOCH") or 0))


def left_out(name: str) -> bool:
    """Whether the standard library's file or folder of this name is omitted."""
    return bool({name, name.partition(".")[0]} & LEFT_OUT or LEFT_OUT_ALSO.match(name))


class Root:
    """The folder that becomes `/`. Added files keep their paths; links are added with their targets."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.sources: set[Path] = set()
        """Real paths of all copied files and links."""
        target.mkdir(parents=True)

    def add(self, path: Path) -> None:
        """Raises RootError if the path does not exist."""
        real = Path(os.path.realpath(path.parent)) / path.name
        if real in self.sources:
            return
        if not os.path.lexists(real):
            raise RootError(f"{path} does not exist")
        copy = self.place(real)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if real.is_symlink():
            self.sources.add(real)
            led = real.parent / real.readlink()
            copy.symlink_to(real.readlink())
            if led.is_dir():
                self.place(Path(os.path.realpath(led))).mkdir(parents=True, exist_ok=True)
            else:
                self.add(led)
        else:
            self.sources.add(real)
            shutil.copyfile(real, copy)
            copy.chmod(0o755 if os.access(real, os.X_OK) and real.stat().st_mode & 0o111 else 0o644)

    def add_tree(self, folder: Path, skip: Skip) -> None:
        for path in sorted(folder.iterdir()):
            if skip(path.name):
                continue
            if path.is_dir() and not path.is_symlink():
                self.add_tree(path, skip)
            else:
                self.add(path)

    def place(self, real: Path) -> Path:
        return self.target / real.relative_to("/")

    def programs(self) -> Iterator[Path]:
        """The copied ELF files."""
        for path in sorted(self.sources):
            if not path.is_symlink():
                with path.open("rb") as file:
                    if file.read(4) == b"\x7fELF":
                        yield path

    def write(self) -> None:
        for name, text in WRITTEN.items():
            path = self.target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name in FOLDERS:
            (self.target / name).mkdir(exist_ok=True)
        (self.target / "tmp").mkdir()
        (self.target / "tmp").chmod(0o1777)
        (self.target / "var" / "run").symlink_to("/run")
        # OpenSSL reads this file by default: one bundle instead of a folder of hashed links.
        (self.target / "usr/lib/ssl/cert.pem").symlink_to("/etc/ssl/certs/ca-certificates.crt")

    def seal(self, libraries: Iterable[Path], epoch: int) -> None:
        """Writes the loader's cache of these folders and the bytecode, and sets all times."""
        run(("ldconfig", "-X", "-r", self.target, *sorted(libraries)))
        shutil.rmtree(self.target / "var/cache", ignore_errors=True)  # ldconfig's own cache
        modes = ("-q", "--invalidation-mode=unchecked-hash", "-s", self.target, "-p", "/")
        run((sys.executable, "-m", "compileall", *modes, self.target), PYTHONHASHSEED="0")
        for folder, folders, files in os.walk(self.target):
            for name in (*folders, *files):
                os.utime(Path(folder) / name, (epoch, epoch), follow_symlinks=False)
        os.utime(self.target, (epoch, epoch))


def libraries(programs: Iterable[Path]) -> list[Path]:
    """The shared libraries that these load, as the loader finds them. Raises RootError if one is missing."""
    listed = run(("ldd", *programs))
    missing = sorted({line.split()[0] for line in listed.splitlines() if "not found" in line})
    if missing:
        raise RootError(f"no library {', '.join(missing)}")
    found = {Path(path) for path in re.findall(r"^\s(?:\S+ => )?(/\S+) \(0x", listed, re.MULTILINE)}
    # Loaded by name when a thread ends, so no program lists it.
    found |= {path.with_name("libgcc_s.so.1") for path in found if path.name == "libc.so.6"}
    return sorted(found)


def declare(root: Root) -> None:
    """Declares the packages of the files, with versions and licences."""
    described = Path("/usr/share/doc")
    for package in owners(root.sources):
        status = run(("dpkg-query", "--status", package))
        name = package.partition(":")[0]
        path = root.target / "var/lib/dpkg/status.d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(status)
        if (described / name).is_symlink():
            root.add(described / name)
        root.add(described / name / "copyright")


def owners(files: Iterable[Path]) -> list[str]:
    """The packages of these files, if they have one. dpkg knows some files in /usr by their path without it."""
    asked = [str(path) for path in files]
    asked += [path.removeprefix("/usr") for path in asked if path.startswith("/usr/lib")]
    found = subprocess.run(["dpkg-query", "--search", *asked], capture_output=True, text=True, check=False)
    if not found.stdout:
        raise RootError(f"dpkg finds no package of the stage: {found.stderr.strip()[-300:]}")
    lines = (line.partition(": ")[0] for line in found.stdout.splitlines() if not line.startswith("diversion "))
    return sorted({name for line in lines for name in line.split(", ")})


def run(command: Command, **environ: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environ})
    if done.returncode:
        raise RootError(f"{command[0]} failed: {done.stderr.strip()[-1000:]}")
    return done.stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
