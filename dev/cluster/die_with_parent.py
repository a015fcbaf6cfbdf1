"""Runs as a script that makes the kernel kill this process when the parent dies, and then execs a program.

The exec keeps the setting and the process id. Between fork and exec of the parent, Python code could deadlock with
other threads. Linux only; on other systems the program starts without the setting.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: str, argv: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != int(parent):  # it died before prctl
            sys.exit(1)
    os.execv(argv[0], argv)  # noqa: S606  (the program replaces this process on purpose)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
