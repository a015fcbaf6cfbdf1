"""Output of the list: a table for people, JSON or CSV for programs. Pure: no I/O, no clock."""

import csv
import io
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, fields

from policyhub.model.text import LIMIT, line
from policyhub.triage.row import Row, summary

_GAP = "   "
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of a formula; spreadsheets in Japan also accept the full-width ones."""
_INNER = re.compile(f"([;|])(?=[{re.escape(''.join(_FORMULA))}])")
"""Where a formula would start if the spreadsheet splits cells at another separator, as Excel does in much of Europe."""


def table(rows: Iterable[Row]) -> str:
    """Formatted like kubectl's tables, nothing cut, with a summary line below."""
    listed = list(rows)
    cells = [("CLUSTER", "SEVERITY", "STATUS", "AGE", "SLA", "SOURCE", "POLICY", "OBJECT"), *map(_cells, listed)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([*(lines if listed else []), summary(listed), ""])


def _cells(row: Row) -> tuple[str, ...]:
    policy = f"{row.policy}/{row.rule}" if row.rule and row.rule != row.policy else row.policy
    location = f"{row.namespace}/{row.name}" if row.namespace else row.name
    deadline = "-" if row.sla_days is None else f"{row.sla_days}d past" if row.past_sla else f"{row.sla_days}d"
    cells = (row.cluster, row.severity, row.status, f"{row.age_days:.0f}d", deadline, row.source, policy)
    return tuple(line(cell, LIMIT) or "-" for cell in (*cells, f"{row.kind} {location}"))


def to_json(rows: Iterable[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False) + "\n"


def to_csv(rows: Iterable[Row]) -> str:
    """RFC 4180. Values that a spreadsheet would run as a formula get an apostrophe: anybody may choose names in a
    cluster.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([field.name for field in fields(Row)])
    for row in rows:
        writer.writerow([_without_formula(value) for value in asdict(row).values()])
    return out.getvalue()


def _without_formula(value: object) -> object:
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    value = _INNER.sub(r"\1'", value)
    return f"'{value}" if value.startswith(_FORMULA) else value
