"""`python -m dev.pictures [--check] [PICTURE …]`: takes the pictures of docs/images, or lists stale ones."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from dev.pictures.record import PICTURES, record, stale


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.pictures", description="The pictures of the documentation.")
    parser.add_argument("names", nargs="*", metavar="PICTURE", help=f"{', '.join(PICTURES)} (default: stale ones)")
    parser.add_argument("--check", action="store_true", help="take no picture; fail if one is stale")
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder (default: here)")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if unknown := {*options.names} - {*PICTURES}:
        parser.error(f"no picture {', '.join(sorted(unknown))}")
    found = stale(options.root)
    if options.check:
        for name, why in found.items():
            sys.stderr.write(f"docs/images/{name} {why}: run `make pictures`\n")
        return 1 if found else 0
    return _take(options.root, options.names or list(found))


def _take(root: Path, names: list[str]) -> int:
    from dev.pictures.camera import TAKEN_BY, PictureError  # noqa: PLC0415  (the check needs none of it)

    failed = 0
    for take, taken in TAKEN_BY.items():
        if not {*names} & {*taken}:
            continue
        print(f"==> taking {', '.join(taken)}", flush=True)
        try:
            take(root)
        except PictureError as error:
            sys.stderr.write(f"{', '.join(taken)}: {error}\n")
            failed = 1
        else:
            record(root, taken)
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
