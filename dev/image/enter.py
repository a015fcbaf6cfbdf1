"""A script that runs as root and execs a program inside a root folder, as a container runtime does.

    python enter.py WORLD      a JSON file of `World`'s members

The process id stays, so that signals reach the program itself. Differences to a container: network, process ids and
control groups are those of the machine, and there is no seccomp profile. The mounts are in a namespace of this process,
and end with it. Linux only.
"""

import ctypes
import json
import os
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWNS = 0x20000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
CAPABILITIES = 64
"""More than exist: dropping one that does not exist fails without effect."""
DEVICES = ("null", "zero", "random", "urandom")


@dataclass(frozen=True, slots=True)
class World:
    parent: int
    """This process dies with it."""
    root: str
    folders: dict[str, str]
    """Path inside, below /run or /var/run → folder of the machine, mounted read-only."""
    memory: dict[str, str]
    """Path inside → mount options with the size: empty writable folders in memory."""
    argv: list[str]
    environment: dict[str, str]
    user: int
    group: int
    groups: list[int]


def main(world: World) -> None:
    root = Path(world.root).resolve()
    check(libc.unshare(CLONE_NEWNS), "unshare")
    mount("none", Path("/"), flags=MS_REC | MS_PRIVATE)
    mount(root, root, flags=MS_BIND)
    mount("proc", root / "proc", kind="proc", flags=MS_RDONLY | MS_NOSUID | MS_NODEV)
    devices(root / "dev")
    mount("tmpfs", root / "run", kind="tmpfs", options="mode=755,size=64k")
    for place, source in world.folders.items():
        inside = root / place.removeprefix("/var").lstrip("/")
        inside.mkdir(parents=True)
        mount(source, inside, flags=MS_BIND)
        mount("none", inside, flags=MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)
    for place, size in world.memory.items():
        mount("tmpfs", root / place.lstrip("/"), kind="tmpfs", flags=MS_NOSUID | MS_NODEV, options=f"mode=1777,{size}")
    for inside in (root, root / "run"):
        mount("none", inside, flags=MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)
    os.chroot(root)
    os.chdir("/")
    demote(world)
    program = shutil.which(world.argv[0], path=world.environment.get("PATH", ""))
    if program is None:
        sys.exit(f"{world.argv[0]} is not in {world.environment.get('PATH')}")
    os.execve(program, world.argv, world.environment)  # noqa: S606  (the program replaces this process on purpose)


def demote(world: World) -> None:
    """Drops all privileges, and prevents new ones."""
    for capability in range(CAPABILITIES):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups(world.groups)
    os.setresgid(world.group, world.group, world.group)
    os.setresuid(world.user, world.user, world.user)
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    # The kernel resets this when the user changes, so it comes last.
    check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "the parent's death")
    if os.getppid() != world.parent:
        sys.exit("the parent died")


def devices(folder: Path) -> None:
    mount("tmpfs", folder, kind="tmpfs", flags=MS_NOSUID, options="mode=755,size=64k")
    for name in DEVICES:
        (folder / name).touch()
        mount(f"/dev/{name}", folder / name, flags=MS_BIND)


def mount(source: str | Path, target: Path, *, kind: str = "", flags: int = 0, options: str = "") -> None:
    answer = libc.mount(*(text.encode() for text in (str(source), str(target), kind)), flags, options.encode() or None)
    check(answer, f"mount {target}")


def check(answer: int, what: str) -> None:
    if answer:
        sys.exit(f"{what}: {os.strerror(ctypes.get_errno())}")


libc = ctypes.CDLL(None, use_errno=True)
libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)

if __name__ == "__main__":
    main(World(**json.loads(Path(sys.argv[1]).read_text("utf-8"))))
