"""Writes findings as JSON lines, as one JSON array, as a table, or each field with its provenance.

JSON is written finding by finding, so it needs no memory. A table needs all its rows in memory.
"""

import re
from collections.abc import Iterable
from typing import Any, BinaryIO, Literal, TextIO

import msgspec
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from policyhub.model.text import clean
from policyhub.render.collector import Collector
from policyhub.render.provenance import Provenance
from policyhub.sources.merge import SEVERITY_RANK

Form = Literal["jsonl", "json", "table"]
WIDTH = 200
"""Width of a table outside a terminal."""
_ROOMY = 110
"""From this width, an id is on one line; below it, the title needs the space."""
_ID = 32
_PARTS = re.compile(r"(?=[.\[/])")
_COLOURS = {"CRITICAL": "bold red", "HIGH": "red", "MEDIUM": "yellow", "LOW": "cyan", "INFORMATIONAL": "dim"}


def lines(stream: BinaryIO, documents: Iterable[Any]) -> None:
    """One document a line."""
    encode = msgspec.json.Encoder().encode
    stream.writelines(encode(document) + b"\n" for document in documents)


def array(stream: BinaryIO, documents: Iterable[Any]) -> None:
    """One array, indented."""
    stream.write(b"[")
    begun = False
    for document in documents:
        body = pretty(document).replace(b"\n", b"\n  ")
        stream.write((b",\n  " if begun else b"\n  ") + body)
        begun = True
    stream.write(b"\n]\n" if begun else b"]\n")


def pretty(document: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def explained(collector: Collector) -> Iterable[dict[str, Any]]:
    """Each finding with the provenance of its fields, as data."""
    provenance = Provenance(collector)
    for entry, finding in collector.findings():
        explained_fields = provenance.explain(entry, finding)
        yield {
            "finding": finding,
            "from": {path: where for path, _, where in explained_fields},
            "calledForBy": provenance.claimants(entry),
        }


def explanations(collector: Collector, *, width: int) -> Iterable[RenderableType]:
    """The same for people, `width` columns wide."""
    provenance = Provenance(collector)
    for entry, finding in collector.findings():
        yield Text(finding["Title"], style="bold")
        for claimant in provenance.claimants(entry):
            yield Text(clean(f"reported by {claimant}"))
        table = Table(box=None, pad_edge=False)
        table.add_column("FIELD", no_wrap=True)
        for name in ("VALUE", "FROM"):
            table.add_column(name, overflow="fold", ratio=1)
        for path, value, where in provenance.explain(entry, finding):
            table.add_row(Text(_broken(clean(path), width=width * 3 // 8)), Text(clean(value)), Text(clean(where)))
        yield table
        yield Text()


def _broken(path: str, *, width: int) -> str:
    """Break a long path into several lines, before a member."""
    lines = [""]
    for part in _PARTS.split(path):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("  ")
        lines[-1] += part
    return "\n".join(lines)


def table(collector: Collector, *, width: int) -> Table:
    """The most severe first, `width` columns wide."""
    rows = sorted(
        (_row(finding) for _, finding in collector.findings()), key=lambda row: (-SEVERITY_RANK[row[0]], row[1:])
    )
    result = Table(box=None, pad_edge=False)
    for name in ("SEVERITY", "COMPLIANCE"):
        result.add_column(name, no_wrap=True)
    result.add_column("TITLE", overflow="fold")
    result.add_column("FIRST SEEN", no_wrap=True)
    result.add_column("ID", overflow="fold", width=_ID if width >= _ROOMY else _ID // 2)
    for severity, *others in rows:
        result.add_row(Text(severity, style=_COLOURS[severity]), *(Text(other) for other in others))
    return result


def _row(finding: dict[str, Any]) -> tuple[Any, ...]:
    return (
        finding["FindingProviderFields"]["Severity"]["Label"],
        finding["Compliance"]["Status"],
        finding["Title"],
        finding["FirstObservedAt"][:10],
        finding["Id"].rpartition("/")[2],
    )


def show(stream: TextIO, console: Console, part: RenderableType) -> None:
    """Print it without trailing blanks, with which rich fills the last column of a table."""
    with console.capture() as drawn:
        console.print(part)
    stream.writelines(f"{line.rstrip()}\n" for line in drawn.get().splitlines())


def console(*, limited: bool) -> Console:
    """The console of standard output. `limited`: its width is that of the terminal or COLUMNS; else `WIDTH`, for a file
    or a pipe.
    """
    return Console(highlight=False, emoji=False, markup=False, width=None if limited else WIDTH)
