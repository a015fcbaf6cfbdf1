"""How verdicts are told: as text for people, as JSON for programs. Pure: no I/O, no clock."""

import json
import textwrap
from collections.abc import Sequence

import policyhub
from policyhub.doctor.result import CheckResult, exit_code, tally
from policyhub.sources.text import line

_LABELS = {"fine": "fine", "problem": "PROBLEM", "unchecked": "unknown"}
_WIDTH = 118
_LONGEST = 4_000
"""Characters of one text: clusters and hubs write what they like."""


def text(results: Sequence[CheckResult]) -> str:
    """A line for what is fine; what was found, why it matters and how to fix it for what is not."""
    told: list[str] = []
    for result in results:
        about = f"{result.about}: " if result.about else ""
        told += _lines(f"{_LABELS[result.state]:<8} {result.check:<19} ", f"{about}{result.found}")
        if result.state == "problem":
            told += _lines(f"{'why':>28} ", result.why)
        if result.remedy:
            told += _lines(f"{'fix':>28} ", result.remedy)
    counted = tally(results)
    problems = "1 problem" if counted["problem"] == 1 else f"{counted['problem']} problems"
    told += ["", f"{problems}, {counted['unchecked']} not checked, {counted['fine']} fine"]
    return "\n".join(told) + "\n"


def document(results: Sequence[CheckResult]) -> str:
    """One JSON object; the members of a result are those of `CheckResult` and `why`."""
    told = [
        {"check": v.check, "about": v.about, "state": v.state, "found": v.found, "why": v.why, "remedy": v.remedy}
        for v in results
    ]
    whole = {
        "version": policyhub.__version__,
        "exitCode": exit_code(results),
        "counts": tally(results),
        "results": told,
    }
    return json.dumps(whole, indent=2) + "\n"


def _lines(head: str, said: str) -> list[str]:
    """What was said beside its head, wrapped in a column of its own."""
    return textwrap.wrap(
        line(said, _LONGEST),
        width=_WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
