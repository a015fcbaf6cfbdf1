"""`python -m dev.generated --write|--check`: the committed files that are generated from other parts of the project.

| file                                  | from                                             |
|---------------------------------------|--------------------------------------------------|
| the CRDs, for kubectl and for Helm    | the models of operator/policyhub/api             |
| the charts' schemas and README tables | the comments of their values.yaml                |
| the charts' RBAC rules for reading    | the tables in operator/policyhub/model           |
| other RBAC rules in policyhub-access  | those in the chart policyhub                     |
| docs/metrics.md                       | the definitions in policyhub.metrics.definitions |
| the chart's dashboards                | dev/dashboards                                   |
| the names of Regions, and FIPS        | botocore's endpoint data                         |
| addresses of releases (dev.address)   | the owner in pyproject.toml                      |
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from dev import address, metrics, partitions
from dev.chart import files as chart
from dev.chart.values import ValuesError
from dev.dashboards import files as dashboards
from policyhub.api import crd


def generated(root: Path) -> dict[Path, str]:
    """Path relative to the project → expected content. Raises ValuesError, AddressError."""
    return {
        **crd.generated(),
        **chart.generated(root),
        metrics.PAGE: metrics.render(),
        **dashboards.generated(),
        **partitions.generated(),
        **address.generated(root),
    }


def stale(root: Path) -> dict[Path, str]:
    """The files with other content, with their expected content."""
    return {
        path: text
        for path, text in generated(root).items()
        if not (root / path).is_file() or (root / path).read_text("utf-8") != text
    }


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m dev.generated", description="Writes or checks the project's generated files."
    )
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write them")
    action.add_argument("--check", action="store_true", help="fail if one is out of date")
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder (default: here)")
    options = parser.parse_args(None if arguments is None else list(arguments))
    try:
        differing = stale(options.root)
    except (ValuesError, address.AddressError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for path, text in differing.items():
        if options.write:
            (options.root / path).parent.mkdir(parents=True, exist_ok=True)
            (options.root / path).write_text(text, "utf-8")
        else:
            sys.stderr.write(f"{path} is out of date: run `make generate`\n")
    return 1 if differing and options.check else 0


if __name__ == "__main__":
    raise SystemExit(main())
