"""A dashboard as its panels and queries, and the JSON that Grafana (9 and later) imports. Pure: no I/O, no clock."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import Any, Literal

Json = dict[str, Any]
Kind = Literal["stat", "timeseries", "table", "bargauge"]

COLUMNS = 24
"""Width of Grafana's grid."""
COLORS = {
    "CRITICAL": "#8f1d21",
    "HIGH": "#e24d42",
    "MEDIUM": "#f2a93b",
    "LOW": "#6ea8dc",
    "INFORMATIONAL": "#9aa5b1",
    "NEW": "#e24d42",
    "NOTIFIED": "#f2a93b",
    "SUPPRESSED": "#9aa5b1",
    "RESOLVED": "#5aa469",
}
"""Colours of the series with these names."""
GOOD, WARNING, BAD = "#5aa469", "#f2a93b", "#e24d42"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Query:
    expr: str
    legend: str = ""
    """Grafana's template for a series' name, or a column's title in a table."""


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    kind: Kind
    queries: tuple[Query, ...]
    about: str
    """What the panel shows, and what deserves attention."""
    unit: str = "short"
    width: int = 8
    height: int = 8
    stacked: bool = False
    steps: tuple[tuple[str, float], ...] = ()
    """(colour, value from which on it applies); below, the colour is GOOD."""
    words: tuple[tuple[int, str, str], ...] = ()
    """(value, text, colour): texts instead of numbers."""

    @property
    def instant(self) -> bool:
        """Whether the panel only shows the latest value."""
        return self.kind != "timeseries"


def stat(title: str, expr: str, about: str, *, unit: str = "short", steps: tuple[tuple[str, float], ...] = ()) -> Panel:
    """One number."""
    return Panel(title, "stat", (Query(expr),), about, unit=unit, steps=steps, width=4, height=4)


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    query: str
    """label_values(…)."""
    several: bool = False
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    uid: str
    title: str
    about: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    links: tuple[tuple[str, str], ...] = field(default=())
    """(title, uid) of other dashboards."""

    @property
    def panels(self) -> Iterator[Panel]:
        for row in self.rows:
            yield from row.panels


def to_json(board: Board) -> Json:
    """The dashboard for Grafana's import."""
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.about,
        "tags": ["policyhub"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "",
        "links": [_link(*link) for link in board.links],
        "templating": {"list": [_data_source(), *map(_variable, board.variables)]},
        "panels": list(_panels(board)),
    }


def _link(title: str, uid: str) -> Json:
    return {"title": title, "type": "link", "url": f"/d/{uid}", "includeVars": True, "keepTime": True}


def _data_source() -> Json:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0}


def _variable(variable: Variable) -> Json:
    return {
        "name": variable.name,
        "label": variable.name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "definition": variable.query,
        "query": {"query": variable.query, "refId": "Variables"},
        "refresh": 2,
        "sort": 1,
        "multi": variable.several,
        "includeAll": variable.several,
        **({"allValue": ".*"} if variable.several else {}),
        "hide": 2 if variable.hidden else 0,
    }


def _panels(board: Board) -> Iterator[Json]:
    number, top = 0, 0
    for row in board.rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
            "panels": [],
        }
        top += 1
        for panel, x, y in placed(row.panels):
            number += 1
            grid = {"x": x, "y": top + y, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": grid, **_panel(panel)}
        top += max((y + panel.height for panel, _, y in placed(row.panels)), default=0)


def placed(panels: tuple[Panel, ...]) -> Iterator[tuple[Panel, int, int]]:
    """Each panel with x and y: from left to right, in lines as high as their highest panel."""
    x = y = height = 0
    for panel in panels:
        if x + panel.width > COLUMNS:
            x, y, height = 0, y + height, 0
        yield panel, x, y
        x, height = x + panel.width, max(height, panel.height)


def _panel(panel: Panel) -> Json:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "targets": [
            {
                "refId": ascii_uppercase[number],
                "datasource": _SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
                "instant": panel.instant,
                "range": not panel.instant,
                "format": "table" if panel.kind == "table" else "time_series",
            }
            for number, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": list(_overrides(panel))},
        "options": _options(panel),
        **({"transformations": _columns(panel)} if panel.kind == "table" else {}),
    }


def _defaults(panel: Panel) -> Json:
    steps: list[Json] = [{"color": GOOD if panel.steps else "#4c6ef5", "value": None}]
    steps += [{"color": color, "value": value} for color, value in panel.steps]
    texts = {
        str(value): {"text": text, "color": color, "index": n} for n, (value, text, color) in enumerate(panel.words)
    }
    return {
        "unit": panel.unit,
        "min": 0,
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": [{"type": "value", "options": texts}] if texts else [],
        **({"custom": _drawn(panel)} if panel.kind == "timeseries" else {}),
    }


def _drawn(panel: Panel) -> Json:
    return {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if panel.stacked else 5,
        "showPoints": "never",
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
    }


def _overrides(panel: Panel) -> Iterator[Json]:
    if any(query.legend in {"{{severity}}", "{{workflow_status}}"} for query in panel.queries):
        for name, color in COLORS.items():
            yield {
                "matcher": {"id": "byName", "options": name},
                "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
            }


def _options(panel: Panel) -> Json:
    reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    match panel.kind:
        case "stat":
            return {"reduceOptions": reduced, "colorMode": "background", "graphMode": "none", "textMode": "auto"}
        case "bargauge":
            return {"reduceOptions": reduced, "orientation": "horizontal", "displayMode": "basic"}
        case "timeseries":
            return {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        case "table":
            return {"showHeader": True, "cellHeight": "sm"}


def _columns(panel: Panel) -> list[Json]:
    """One row for each set of labels, with a column for each query."""
    names = {f"Value #{ascii_uppercase[n]}": query.legend for n, query in enumerate(panel.queries)}
    if len(panel.queries) == 1:
        names = {"Value": panel.queries[0].legend, **names}
    return [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": names}},
    ]
