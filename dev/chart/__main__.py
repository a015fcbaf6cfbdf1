"""`python -m dev.chart --write` makes the generated files anew, `--check` tells which are out of date; `--golden`
renders the examples of tests/component/chart anew, with the real helm.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from dev.chart import golden, readme, schema, values

CHART = Path("charts/policyhub")


def generated(root: Path) -> dict[Path, str]:
    """What the files should hold, by path relative to the project. Raises ValuesError."""
    chart = root / CHART
    found = values.parse((chart / "values.yaml").read_text("utf-8"))
    own = schema.own_settings((chart / "templates/_env.tpl").read_text("utf-8"))
    return {
        CHART / "values.schema.json": schema.render(found, own=own),
        CHART / "README.md": readme.render((chart / "README.md").read_text("utf-8"), found),
    }


def stale(root: Path) -> list[Path]:
    """The committed files that differ from what values.yaml says."""
    return [
        path
        for path, text in generated(root).items()
        if not (root / path).is_file() or (root / path).read_text("utf-8") != text
    ]


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.chart", description="What is generated for the chart.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write values.schema.json and the table in README.md")
    action.add_argument("--check", action="store_true", help="fail if one of the two is out of date")
    action.add_argument("--golden", action="store_true", help="render the examples that the tests compare with")
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder (default: here)")
    options = parser.parse_args(None if arguments is None else list(arguments))
    try:
        if options.golden:
            golden.write(options.root / CHART, options.root / golden.FOLDER, progress=print)
            return 0
        if options.write:
            for path, text in generated(options.root).items():
                (options.root / path).write_text(text, "utf-8")
            return 0
        differing = stale(options.root)
    except values.ValuesError as error:
        sys.stderr.write(f"{CHART / 'values.yaml'}: {error}\n")
        return 2
    for path in differing:
        sys.stderr.write(f"{path} is out of date: run `python -m dev.chart --write`\n")
    return 1 if differing else 0


if __name__ == "__main__":
    raise SystemExit(main())
