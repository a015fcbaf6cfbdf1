"""The results as text for people and as JSON for programs. Pure: no I/O, no clock."""

import json
import textwrap
from collections.abc import Sequence

import policyhub
from policyhub.doctor.result import CheckResult, exit_code, tally
from policyhub.model.text import line

_LABELS = {"fine": "fine", "problem": "PROBLEM", "unchecked": "unknown"}
_WIDTH = 118
_LONGEST = 4_000
"""Characters of one text at most: it may quote a cluster or hub."""


def text(results: Sequence[CheckResult]) -> str:
    """One entry for each result: what was found and, for a problem, why it matters and how to fix it."""
    lines: list[str] = []
    for result in results:
        about = f"{result.about}: " if result.about else ""
        lines += _lines(f"{_LABELS[result.state]:<8} {result.check:<19} ", f"{about}{result.found}")
        if result.state == "problem":
            lines += _lines(f"{'why':>28} ", result.why)
        if result.remedy:
            lines += _lines(f"{'fix':>28} ", result.remedy)
    counted = tally(results)
    problems = "1 problem" if counted["problem"] == 1 else f"{counted['problem']} problems"
    lines += ["", f"{problems}, {counted['unchecked']} not checked, {counted['fine']} fine"]
    return "\n".join(lines) + "\n"


def document(results: Sequence[CheckResult]) -> str:
    """One JSON object. A result has the fields of `CheckResult` and `why`."""
    items = [
        {"check": v.check, "about": v.about, "state": v.state, "found": v.found, "why": v.why, "remedy": v.remedy}
        for v in results
    ]
    root = {
        "version": policyhub.__version__,
        "exitCode": exit_code(results),
        "counts": tally(results),
        "results": items,
    }
    return json.dumps(root, indent=2) + "\n"


def _lines(label: str, content: str) -> list[str]:
    """A label and its text, which is wrapped in a column of its own."""
    return textwrap.wrap(
        line(content, _LONGEST),
        width=_WIDTH,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )
