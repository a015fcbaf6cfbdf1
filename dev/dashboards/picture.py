"""A dashboard drawn as one HTML page from what a Prometheus answers, where there is no Grafana to look at it in.

It follows the description that the chart's files are made of (board.py): each panel with its queries, unit, colours and
place. What it cannot show is Grafana's own look. The page asks nobody for anything: it can be kept.
"""

import math
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from dev.dashboards.board import COLORS, GOOD, Board, Panel, Query, placed
from dev.dashboards.prometheus import Prometheus, Result, filled

_PALETTE = ("#4c6ef5", "#f2a93b", "#5aa469", "#e24d42", "#9c6ade", "#17a2b8", "#c0563b", "#7a8793", "#b5bd00")
_CELL, _GUTTER, _HEADING = 34, 8, 42
_GAP_SECONDS = 3
_STYLE = """
body{margin:0;padding:18px;background:#f4f5f7;color:#1f2933;font:13px/1.35 system-ui,sans-serif;width:1500px}
h1{font-size:20px;margin:0 0 2px}p{margin:0 0 14px;color:#52606d}h2{font-size:14px;margin:16px 0 6px}
.grid{display:grid;grid-template-columns:repeat(24,1fr);gap:8px}
.panel{background:#fff;border:1px solid #dfe3e8;border-radius:4px;padding:8px 10px}
.panel{overflow:hidden;box-sizing:border-box}
.panel h3{font-size:12.5px;margin:0 0 4px}.stat{font-size:30px;font-weight:600;text-align:center;padding-top:14px}
table{border-collapse:collapse;width:100%;font-size:12px}td,th{text-align:left;padding:2px 8px 2px 0;white-space:nowrap}
th{color:#52606d;font-weight:600;border-bottom:1px solid #dfe3e8}td.n{text-align:right}
.legend{font-size:11px;color:#3e4c59;line-height:1.5}
.legend i{display:inline-block;width:10px;height:3px;margin:0 4px 3px 8px}
.bar{display:flex;align-items:center;font-size:11.5px;margin:3px 0}.bar span{width:46%;overflow:hidden}
.bar b{height:13px;border-radius:2px;display:block}.bar em{font-style:normal;padding-left:6px}
.none{color:#9aa5b1;text-align:center;padding-top:30px}
"""


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    points: tuple[tuple[float, float], ...]
    """(Unix seconds, value)."""


def page(board: Board, prometheus: Prometheus, variables: Mapping[str, str], *, seconds: int, note: str) -> str:
    """The whole dashboard, over the last seconds or since Prometheus first knew of an operator."""
    begun = [float(at) for one in prometheus.over("policyhub_leader", seconds=seconds) for at, _ in one["values"]]
    end = time.time()
    span = (min(begun, default=end - seconds), end)
    parts = [f"<h1>{escape(board.title)}</h1><p>{escape(note)}</p>"]
    for row in board.rows:
        parts.append(f'<h2>{escape(row.title)}</h2><div class="grid">')
        for panel, x, y in placed(row.panels):
            where = f"grid-column:{x + 1}/span {panel.width};grid-row:{y + 1}/span {panel.height}"
            body = _body(panel, prometheus, variables, span)
            parts.append(f'<div class="panel" style="{where}"><h3>{escape(panel.title)}</h3>{body}</div>')
        parts.append("</div>")
    rows = f".grid{{grid-auto-rows:{_CELL}px}}"
    return f'<!doctype html><meta charset="utf-8"><style>{_STYLE}{rows}</style>{"".join(parts)}'


def height(board: Board) -> int:
    """Of the page, in pixels."""
    cells = [max((y + panel.height for panel, _, y in placed(row.panels)), default=0) for row in board.rows]
    return 2 * _HEADING + sum(_HEADING + number * (_CELL + _GUTTER) for number in cells)


def screenshot(html: Path, png: Path, *, height: int) -> None:
    """By a headless Chromium that is installed. Raises FileNotFoundError, CalledProcessError."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise FileNotFoundError("no chromium on PATH")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size=1536,{height}"]
    subprocess.run(
        [program, *flags, f"--screenshot={png}", html.resolve().as_uri()], check=True, capture_output=True, timeout=120
    )


def _body(panel: Panel, prometheus: Prometheus, variables: Mapping[str, str], span: tuple[float, float]) -> str:
    seconds = int(span[1] - span[0])
    if panel.kind == "timeseries":
        found = [s for query in panel.queries for s in _over(query, prometheus, variables, seconds)]
        return _lines(panel, found, span) if found else _NOTHING
    answers = [(query, prometheus.now(filled(query, variables))) for query in panel.queries]
    if not any(result for _, result in answers):
        return _NOTHING
    if panel.kind == "table":
        return _table([(query.legend, result) for query, result in answers])
    values = [
        (_named(query, one["metric"]), float(one["value"][1]))
        for query, result in answers
        for one in result
        if not math.isnan(float(one["value"][1]))
    ]
    if panel.kind == "stat":
        color, text = _judged(panel, values[0][1])
        return f'<div class="stat" style="color:{color}">{escape(text)}</div>'
    return _bars(panel, sorted(values))


_NOTHING = '<div class="none">no data</div>'


def _over(query: Query, prometheus: Prometheus, variables: Mapping[str, str], seconds: int) -> Iterable[Series]:
    for one in prometheus.over(filled(query, variables), seconds=seconds):
        points = tuple((float(at), float(value)) for at, value in one["values"] if value != "NaN")
        if points:
            yield Series(_named(query, one["metric"]), points)


def _named(query: Query, labels: Mapping[str, str]) -> str:
    name = query.legend
    for label, value in labels.items():
        name = name.replace(f"{{{{{label}}}}}", value)
    return name


def _judged(panel: Panel, value: float) -> tuple[str, str]:
    for number, text, color in panel.words:
        if number == value:
            return color, text
    color = GOOD if panel.steps else "#1f2933"
    for step, least in panel.steps:
        color = step if value >= least else color
    return color, shown(value, panel.unit)


def shown(value: float, unit: str) -> str:
    """A number as short as it can be read."""
    if unit == "s":
        for seconds, name in ((86_400, "d"), (3600, "h"), (60, "min")):
            if value >= seconds:
                return f"{value / seconds:.3g} {name}"
        return f"{value:.2g} s"
    suffix = {"bytes": "B", "reqps": "/s"}.get(unit, "")
    for least, size, name in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if value >= least:
            return f"{value / size:.3g} {name}{suffix}"
    if value >= 100:
        return f"{value:.0f}{suffix}"
    return f"{value:.3g}{' ' if suffix == 'B' else ''}{suffix}" if value % 1 else f"{value:.0f}{suffix}"


def _colors(names: Sequence[str]) -> dict[str, str]:
    others = iter(_PALETTE * (1 + len(names) // len(_PALETTE)))
    return {name: COLORS.get(name) or next(others) for name in names}


def _lines(panel: Panel, found: Sequence[Series], span: tuple[float, float]) -> str:
    times = sorted({at for one in found for at, _ in one.points})
    colors = _colors([one.name for one in found])
    areas = list(_stacked(found, times)) if panel.stacked else [(one.name, list(one.points), []) for one in found]
    greatest = max((value for _, top, _ in areas for _, value in top), default=1.0) or 1.0
    canvas = _Canvas(50.0 * panel.width, _CELL * panel.height * 0.74, *span, greatest)
    shapes = [canvas.grid(panel.unit)]
    for name, top, below in areas:
        for begin, end in _whole(top):
            if below:
                outline = canvas.path([*top[begin:end], *reversed(below[begin:end])])
                shapes.append(f'<polygon points="{outline}" fill="{colors[name]}" fill-opacity=".35"/>')
            line = canvas.path(top[begin:end])
            shapes.append(f'<polyline points="{line}" fill="none" stroke="{colors[name]}" stroke-width="1.4"/>')
    legend = "".join(f'<i style="background:{color}"></i>{escape(name)}' for name, color in colors.items())
    box = f"0 0 {canvas.width:.0f} {canvas.height:.0f}"
    return f'<svg viewBox="{box}" width="100%">{"".join(shapes)}</svg><div class="legend">{legend}</div>'


Points = list[tuple[float, float]]


def _whole(points: Points) -> Iterator[tuple[int, int]]:
    """The stretches without a gap: nothing was scraped in between."""
    begin = 0
    for number in range(1, len(points) + 1):
        if number == len(points) or points[number][0] - points[number - 1][0] > _GAP_SECONDS:
            yield begin, number
            begin = number


def _stacked(found: Sequence[Series], times: Sequence[float]) -> Iterator[tuple[str, Points, Points]]:
    """Each series' upper and lower edge."""
    base = dict.fromkeys(times, 0.0)
    for one in found:
        values, below = dict(one.points), list(base.items())
        base = {at: value + values.get(at, 0.0) for at, value in below}
        yield one.name, list(base.items()), below


@dataclass(frozen=True, slots=True)
class _Canvas:
    width: float
    height: float
    first: float
    last: float
    greatest: float
    left: float = 52.0
    bottom: float = 16.0

    def _y(self, share: float) -> float:
        return self.height - self.bottom - (self.height - self.bottom - 6) * share

    def path(self, points: Iterable[tuple[float, float]]) -> str:
        stretch = (self.width - self.left) / (self.last - self.first)
        return " ".join(
            f"{self.left + stretch * (at - self.first):.1f},{self._y(value / self.greatest):.1f}"
            for at, value in points
        )

    def grid(self, unit: str) -> str:
        text = 'text-anchor="end" font-size="10" fill="#52606d"'
        drawn = [f'<text x="{self.width}" y="{self.height - 2}" {text}>{self.last - self.first:.0f} s</text>']
        for share in (0.0, 0.5, 1.0):
            y = self._y(share)
            drawn.append(f'<line x1="{self.left}" x2="{self.width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e4e7eb"/>')
            label = escape(shown(self.greatest * share, unit))
            drawn.append(f'<text x="{self.left - 5}" y="{y + 4:.1f}" {text}>{label}</text>')
        return "".join(drawn)


def _table(columns: Sequence[tuple[str, Result]]) -> str:
    lines: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for title, result in columns:
        for one in result:
            key = tuple(sorted(one["metric"].items()))
            lines.setdefault(key, {})[title] = f"{float(one['value'][1]):.4g}"
    labels = sorted({label for key in lines for label, _ in key})
    titles = [title for title, _ in columns]
    head = "".join(f"<th>{escape(text)}</th>" for text in (*labels, *titles))
    if len(titles) == 1:
        ordered = sorted(lines.items(), key=lambda item: (-float(item[1][titles[0]]), item[0]))
    else:
        ordered = sorted(lines.items())
    body = "".join(
        "<tr>"
        + "".join(f"<td>{escape(dict(key).get(label, ''))}</td>" for label in labels)
        + "".join(f"<td>{escape(values.get(title, ''))}</td>" for title in titles)
        + "</tr>"
        for key, values in ordered
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _bars(panel: Panel, values: Sequence[tuple[str, float]]) -> str:
    greatest = max((value for _, value in values), default=1.0) or 1.0
    lines = []
    for name, value in values:
        known = COLORS.get(name.partition(":")[0])
        color = known or (_judged(panel, value)[0] if panel.steps else _PALETTE[0])
        bar = f'<b style="width:{max(1, 40 * value / greatest):.0f}%;background:{color}"></b>'
        told = f"<span>{escape(name)}</span>{bar}<em>{escape(shown(value, panel.unit))}</em>"
        lines.append(f'<div class="bar">{told}</div>')
    return "".join(lines)
