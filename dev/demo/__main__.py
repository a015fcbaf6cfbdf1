"""`python -m dev.demo [--keep] [--plain] [--engines | --fleet] [--image FOLDER]`.

Ends by itself with 0, or with 1 and the reason; ctrl-c ends it cleanly.
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
    parser = argparse.ArgumentParser(prog="python -m dev.demo", description="The whole of policyhub on this machine.")
    parser.add_argument("--keep", action="store_true", help="leave everything running at the end, until ctrl-c")
    parser.add_argument("--plain", action="store_true", help="plain lines on a terminal too")
    story = parser.add_mutually_exclusive_group()
    story.add_argument("--fleet", action="store_true", help="three EKS clusters of two accounts, one operator")
    story.add_argument(
        "--engines", action="store_true", help="Kyverno and Gatekeeper themselves play, built from source"
    )
    parser.add_argument("--image", type=Path, help="run the operator in the image that dev/image/build.sh left there")
    arguments = parser.parse_args()
    screen = open_screen(plain=arguments.plain)
    screen.title("policyhub: Kubernetes policy violations as findings of AWS Security Hub CSPM, on this machine alone.")
    signal.signal(signal.SIGTERM, _interrupt)
    stack = ExitStack()
    try:
        from dev.demo.play import opening_of, play  # noqa: PLC0415  (it loads for a second or two; the title is out before)
        from dev.image.pod import Image, in_image  # noqa: PLC0415  (after the title)
        from dev.stand import here  # noqa: PLC0415  (after the title)

        home = in_image(Image(arguments.image)) if arguments.image else here
        opening = opening_of(engines=arguments.engines, fleet=arguments.fleet)
        return play(screen, stack, opening, keep=arguments.keep, home=home)
    except KeyboardInterrupt:
        screen.say("Interrupted; stopping what was started.")
        return 130
    except BrokenPipeError:  # who read the lines has gone, as `head` does: the clean-up has nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # the clean-up is short, and half of one helps nobody
            signal.signal(number, signal.SIG_IGN)
        stack.close()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
