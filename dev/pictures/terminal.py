"""Lines of a terminal as an SVG file: text that can be searched, small, and the same bytes for the same lines. Pure."""

import re
from collections.abc import Sequence
from html import escape

_CHARACTER, _LINE, _EDGE, _BAR = 8.0, 18, 16, 30
_STYLE = (
    ".t{font:13px/18px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre;"
    "fill:#d8dee9}.b{font-weight:700;fill:#fff}.s{font-weight:700;fill:#7fd3e0}.f{font-weight:700;fill:#ff7b72}"
    ".p{fill:#8fbf7f}"
)
_STEP = re.compile(r"\d+\. ")


def svg(command: str, lines: Sequence[str]) -> str:
    """The command at a prompt, and what it printed."""
    told = [f"$ {command}", *lines]
    width = round(2 * _EDGE + _CHARACTER * max(map(len, told)))
    height = _BAR + 2 * _EDGE + _LINE * len(told)
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#1b2230"/>',
        *(f'<circle cx="{_EDGE + 18 * n}" cy="16" r="5.5" fill="{c}"/>' for n, c in enumerate(_LIGHTS)),
    ]
    for number, line in enumerate(told):
        y = _BAR + _EDGE + _LINE * number
        if line.strip():
            drawn.append(f'<text class="t {_kind(number, line)}" x="{_EDGE}" y="{y}">{escape(line)}</text>')
    return "\n".join([*drawn, "</svg>"]) + "\n"


_LIGHTS = ("#ff5f57", "#febc2e", "#28c840")


def _kind(number: int, line: str) -> str:
    """By how the demo writes titles, steps and failures."""
    if number == 0:
        return "p"
    if number == 1:
        return "b"
    return "f" if "FAILED" in line else "s" if _STEP.match(line) else ""
