"""Output of the clusters: a table for people, JSON for programs. Pure: no I/O, no clock."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict

from policyhub.clock import WallMs
from policyhub.cluster.formatting import counted
from policyhub.clusters.row import Row, age

_GAP = "   "

COLUMNS: Mapping[str, Callable[[Row], object]] = {
    "Account": lambda row: row.account,
    "Region": lambda row: row.region,
    "Connected": lambda row: row.connected,
    "InSync": lambda row: row.in_sync,
    "Critical": lambda row: row.critical,
    "High": lambda row: row.high,
    "Medium": lambda row: row.medium,
    "Low": lambda row: row.low,
    "Informational": lambda row: row.informational,
    "Pending": lambda row: row.pending,
}
"""Named as in `kubectl get`."""


def table(rows: Iterable[Row], *, now: WallMs, wide: bool) -> str:
    """Formatted like kubectl's tables, with a summary line below."""
    listed = list(rows)
    more = ("IDENTITY", "MESSAGE") if wide else ()
    cells = [("NAME", *map(str.upper, COLUMNS), "WAITING", "LISTED", "REASON", *more)]
    cells += [_cells(one, now=now, wide=wide) for one in listed]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([*(lines if listed else []), _summary(listed), ""])


def _cells(row: Row, *, now: WallMs, wide: bool) -> tuple[str, ...]:
    cells = [row.name, *(of(row) for of in COLUMNS.values())]
    cells += [age(row.oldest_pending, now=now), age(row.last_listed, now=now), row.reason]
    cells += [row.identity, row.message] if wide else []
    return tuple("-" if cell in {None, ""} else str(cell) for cell in cells)


def _summary(rows: list[Row]) -> str:
    well = sum(row.well for row in rows)
    return f"{counted(len(rows), 'cluster')}: {well} healthy, {len(rows) - well} not healthy"


def to_json(rows: Iterable[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=2) + "\n"
