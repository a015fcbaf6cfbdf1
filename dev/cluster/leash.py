"""Run as a script in front of a program: makes the kernel kill it when the parent dies, then becomes it.

An exec keeps the request and the process id. Done here and not between fork and exec of the parent, where Python code
beside running threads can deadlock. Linux only; elsewhere the program starts without the leash.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: str, argv: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != int(parent):  # it died before the request stood
            sys.exit(1)
    os.execv(argv[0], argv)  # noqa: S606  (to become that program is all that is asked)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
