"""The findings page: its files, and the JSON under /_page that it lives on.

Filters, sorts and pages are made here, so that the browser holds one page of rows however many findings there are.
"""

from collections import Counter
from collections.abc import Callable
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
    # Nothing but this server's own files: no inline script, no style attribute, no image from elsewhere, no frame.
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


def mount(app: web.Application, service: Service) -> None:
    folder = Path(__file__).parent / "page"
    for path, (name, kind) in _FILES.items():
        app.router.add_get(path, _file(folder / name, kind))
    routes = Board(service)
    app.router.add_get("/_page/version", routes.version)
    app.router.add_get("/_page/findings", routes.findings)
    app.router.add_get("/_page/finding", routes.finding)
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
        """One page of rows, the counts by severity of all that match, and the values that filters can take."""
        wanted = request.query
        everything = [record for hub in self._service.hubs.values() for record in hub]
        found = [record for record in everything if _matches(record, wanted)]
        order = wanted.get("sort", "severity")
        found.sort(key=lambda r: r.updated, reverse=True)  # among equals the newest first
        found.sort(key=_SORTS.get(order, _SORTS["severity"]), reverse=wanted.get("order", "desc") == "desc")
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
                "clusters": sorted({r.cluster for r in everything if r.cluster}),
                "accounts": sorted({r.account for r in everything}),
                "start": start,
                "rows": [_row(record) for record in found[start : start + size]],
            }
        )

    async def finding(self, request: web.Request) -> web.Response:
        """One finding whole, with its history."""
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
        """What an analyst does, for findings of any accounts and Regions: {findings: [...], values: {...}}."""
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


def _matches(record: Record, wanted: Any) -> bool:
    for name in ("severity", "workflow", "record_state", "cluster", "account"):
        values = wanted.getall(name, None)
        if values and getattr(record, name) not in values:
            return False
    text = wanted.get("text", "").strip().casefold()
    if not text:
        return True
    return any(text in part.casefold() for part in (record.title, record.resource, record.id, record.cluster))


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
