"""`python -m dev.demo [--keep] [--plain] [--engines | --fleet] [--image FOLDER]`.

Exit code 0, or 1 with the reason. Ctrl-c stops everything that was started.
"""

import argparse
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from dev.demo.screen import open_screen


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m dev.demo", description="Runs policyhub on this machine, from violation to archived finding."
    )
    parser.add_argument("--keep", action="store_true", help="leave everything running at the end, until ctrl-c")
    parser.add_argument("--plain", action="store_true", help="print plain lines, even on a terminal")
    story = parser.add_mutually_exclusive_group()
    story.add_argument("--fleet", action="store_true", help="one operator with three EKS clusters in two accounts")
    story.add_argument("--engines", action="store_true", help="with the real Kyverno and Gatekeeper, built from source")
    parser.add_argument("--image", type=Path, help="run the operator in the image that dev/image/build.sh built there")
    arguments = parser.parse_args()
    screen = open_screen(plain=arguments.plain)
    screen.title("policyhub: Kubernetes policy violations as findings in AWS Security Hub CSPM, all on this machine.")
    signal.signal(signal.SIGTERM, _interrupt)
    stack = ExitStack()
    try:
        from dev.demo.play import opening_of, play  # noqa: PLC0415  (loading takes a second or two; the title is printed first)
        from dev.image.pod import Image, in_image  # noqa: PLC0415  (after the title)
        from dev.testbed import here  # noqa: PLC0415  (after the title)

        home = in_image(Image(arguments.image)) if arguments.image else here
        opening = opening_of(engines=arguments.engines, fleet=arguments.fleet)
        return play(screen, stack, opening, keep=arguments.keep, home=home)
    except KeyboardInterrupt:
        screen.say("Interrupted. Stopping everything that was started.")
        return 130
    except (
        BrokenPipeError
    ):  # the reader of the output has exited, such as `head`: nobody reads what the clean-up prints
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # an interrupted clean-up would leave processes behind
            signal.signal(number, signal.SIG_IGN)
        stack.close()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
