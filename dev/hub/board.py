"""The findings page: its files, and its data under /_page.

The server filters, sorts and pages, so that the browser only holds one page of rows.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from aiohttp import web

from dev.hub import control
from dev.hub.service import Service
from dev.hub.store import Record, key

_FILES = {
    "/": ("index.html", "text/html"),
    "/page/style.css": ("style.css", "text/css"),
    "/page/main.js": ("main.js", "text/javascript"),
    "/page/table.js": ("table.js", "text/javascript"),
    "/page/detail.js": ("detail.js", "text/javascript"),
    "/page/dom.js": ("dom.js", "text/javascript"),
}
_HEADERS = {
    # Only this server's own files: no inline scripts, style attributes, external images or frames.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL")
_RANK = {label: rank for rank, label in enumerate(reversed(SEVERITIES))}
_SORTS: dict[str, Callable[[Record], Any]] = {
    "severity": lambda r: _RANK[r.severity],
    "title": lambda r: r.title.casefold(),
    "resource": lambda r: r.resource.casefold(),
    "cluster": lambda r: r.cluster,
    "account": lambda r: (r.account, r.region),
    "workflow": lambda r: r.workflow,
    "record_state": lambda r: r.record_state,
    "first_seen": lambda r: r.first_seen,
    "updated": lambda r: r.updated_ns,
}
_MOST_ROWS = 500
_FILTERS = ("severity", "workflow", "record_state", "cluster", "account", "source", "policy", "namespace")
_CHOICES = {
    "clusters": "cluster",
    "accounts": "account",
    "sources": "source",
    "policies": "policy",
    "namespaces": "namespace",
}
"""Key in the answer → member whose values a filter can select."""
_MOST_CHOICES = 2_000
_EXPORTED = (
    *("severity", "title", "resource", "cluster", "namespace", "account", "region", "workflow", "record_state"),
    *("first_seen", "updated", "source", "policy", "id"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters of a cell that a spreadsheet evaluates as a formula."""


def mount(app: web.Application, service: Service) -> None:
    folder = Path(__file__).parent / "page"
    for path, (name, kind) in _FILES.items():
        app.router.add_get(path, _file(folder / name, kind))
    routes = Board(service)
    app.router.add_get("/_page/version", routes.version)
    app.router.add_get("/_page/findings", routes.findings)
    app.router.add_get("/_page/finding", routes.finding)
    app.router.add_get("/_page/export", routes.export)
    app.router.add_post("/_page/update", routes.update)


def _file(path: Path, kind: str) -> control.Handler:
    body = path.read_bytes()

    async def serve(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=_HEADERS)

    return serve


class Board:
    """The handlers, around the one service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def version(self, _: web.Request) -> web.Response:
        return control.answer({"version": self._service.version})

    async def findings(self, request: web.Request) -> web.Response:
        """One page of rows, the counts of all matches by severity, and the values that filters can select."""
        wanted = request.query
        everything = self._everything()
        found = _found(everything, wanted)
        try:
            start = max(0, int(wanted.get("start", "0")))
            size = min(_MOST_ROWS, max(1, int(wanted.get("size", "100"))))
        except ValueError:
            raise web.HTTPBadRequest(text="start and size are numbers") from None
        severities = Counter(record.severity for record in found)
        return control.answer(
            {
                "version": self._service.version,
                "total": len(found),
                "stored": len(everything),
                "severities": {label: severities[label] for label in SEVERITIES},
                **{name: _choices(everything, member) for name, member in _CHOICES.items()},
                "start": start,
                "rows": [_row(record) for record in found[start : start + size]],
            }
        )

    async def export(self, request: web.Request) -> web.Response:
        """All matches as CSV, in the order of the table."""
        table = io.StringIO()
        rows = csv.writer(table)
        rows.writerow(_EXPORTED)
        for record in _found(self._everything(), request.query):
            rows.writerow(_cell(str(getattr(record, name))) for name in _EXPORTED)
        headers = {**_HEADERS, "Content-Disposition": 'attachment; filename="findings.csv"'}
        return web.Response(text=table.getvalue(), content_type="text/csv", charset="utf-8", headers=headers)

    def _everything(self) -> list[Record]:
        return [record for hub in self._service.hubs.values() for record in hub]

    async def finding(self, request: web.Request) -> web.Response:
        """One complete finding with its history."""
        wanted = request.query
        account, region = wanted.get("account", ""), wanted.get("region", "")
        hub = self._service.hubs.get((account, region))
        record = hub.records.get(key(wanted.get("id", ""), wanted.get("arn", ""))) if hub is not None else None
        if record is None:
            raise web.HTTPNotFound(text="no such finding")
        return control.answer(
            {
                "row": _row(record),
                "finding": record.finding(),
                "customer_changed": record.touched.split(",") if record.touched else [],
                "history": self._service.journal.history(account, region, record.id, limit=200),
            }
        )

    async def update(self, request: web.Request) -> web.Response:
        """Updates findings of any accounts and Regions as an analyst does: {findings: [...], values: {...}}."""
        body = await control.decoded(request)
        groups: dict[tuple[str, str], list[tuple[str, str | None]]] = {}
        try:
            values = body["values"]
            for finding in body["findings"]:
                groups.setdefault((finding["account"], finding["region"]), []).append((finding["id"], finding["arn"]))
        except (KeyError, TypeError):
            raise web.HTTPBadRequest(text="findings and values are needed") from None
        processed, unprocessed = 0, 0
        for (account, region), findings in groups.items():
            part = control.act(self._service, account, region, findings, values)
            processed += len(part["ProcessedFindings"])
            unprocessed += len(part["UnprocessedFindings"])
        return control.answer({"processed": processed, "unprocessed": unprocessed, "version": self._service.version})


def _found(everything: Iterable[Record], wanted: Any) -> list[Record]:
    """All matches, in the requested order."""
    filters = {name: frozenset(values) for name in _FILTERS if (values := wanted.getall(name, None))}
    words = wanted.get("text", "").casefold().split()
    found = [record for record in everything if _matches(record, filters, words)]
    found.sort(key=lambda r: r.updated, reverse=True)  # the newest first among equals
    sort = _SORTS.get(wanted.get("sort", "severity"), _SORTS["severity"])
    found.sort(key=sort, reverse=wanted.get("order", "desc") == "desc")
    return found


def _matches(record: Record, filters: dict[str, frozenset[str]], words: list[str]) -> bool:
    """Whether the record passes every filter, and its text contains every word."""
    if any(getattr(record, name) not in values for name, values in filters.items()):
        return False
    if not words:
        return True
    texts = (record.title, record.resource, record.id, record.cluster, record.policy, record.source)
    text = "\n".join(texts).casefold()
    return all(word in text for word in words)


def _choices(everything: Iterable[Record], member: str) -> list[str]:
    return sorted({value for record in everything if (value := getattr(record, member))})[:_MOST_CHOICES]


def _cell(text: str) -> str:
    """Prevents that a spreadsheet evaluates a finding's text as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _row(record: Record) -> dict[str, Any]:
    return {
        "id": record.id,
        "arn": record.arn,
        "account": record.account,
        "region": record.region,
        "severity": record.severity,
        "title": record.title,
        "resource": record.resource,
        "cluster": record.cluster,
        "workflow": record.workflow,
        "record_state": record.record_state,
        "first_seen": record.first_seen,
        "updated": record.updated,
        "version": record.version,
    }
