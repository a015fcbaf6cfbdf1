"""Reports of the fault bench for people: a line for each run, and the table at the end."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from tests.faults.checker import PROMISES, Verdict
from tests.faults.injections import NONE
from tests.faults.run import Result

HEADER = (
    "fault", "seeds", "hits", "changes", "Pods", "imports", "lasting", "wrong", "lost", "left open", "double", "triage",
    "other", "redundant: allowed", "forbidden", "restless", "seconds",
)  # fmt: skip
SENT = ("forbidden", "restless")
NAMED = ("wrong", "missing", "stale", "double", "triage")
OTHER = tuple(promise for promise in PROMISES if promise not in {*NAMED, *SENT})
SHOWN = 5


def line(result: Result) -> str:
    """One run: its numbers, what was broken, and how to run it again."""
    verdict = result.verdict
    summary = (
        f"{'ok' if result.good else 'BROKEN'}  {result.fault}, seed {result.seed}: {result.hits} hits,"
        f" {result.events} changes, {result.pod_changes} Pods, {verdict.imports} imports,"
        f" {verdict.allowed.total()} redundant; Security Hub matched after {result.seconds:.1f} s"
    )
    if result.good:
        return summary
    broken = [f"    {promise} ({PROMISES[promise]}): {len(lines)}" for promise, lines in verdict.broken()]
    shown = [f"        {text}" for _, lines in verdict.broken() for text in lines[:SHOWN]]
    none = [] if result.hits else ["    the fault never hit, so this run proves nothing"]
    again = f"    again: python -m tests.faults --fault '{result.fault}' --seeds {result.seed}"
    return "\n".join([summary, *broken, *shown, *none, again])


def table(results: Iterable[Result], order: Iterable[str]) -> str:
    rows: defaultdict[str, list[Result]] = defaultdict(list)
    for result in results:
        rows[result.fault].append(result)
    lines = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
    lines += ["| " + " | ".join(_row(fault, rows[fault])) + " |" for fault in order if rows[fault]]
    if len(rows) > 1:
        every = [result for runs in rows.values() for result in runs]
        lines.append("| " + " | ".join(["**all**", f"{len(every)} runs", *_numbers(every)]) + " |")
    return "\n".join(lines)


def _row(fault: str, runs: list[Result]) -> list[str]:
    return [fault, _span(sorted(result.seed for result in runs)), *_numbers(runs)]


def _span(seeds: list[int]) -> str:
    if len(seeds) > 1 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}–{seeds[-1]}"  # noqa: RUF001  (an en dash, as in print)
    return ", ".join(map(str, seeds))


def _numbers(runs: list[Result]) -> list[str]:
    verdicts = [result.verdict for result in runs]
    allowed: Counter[str] = sum((verdict.allowed for verdict in verdicts), Counter[str]())
    reasons = ", ".join(f"{number} {reason}" for reason, number in allowed.most_common())
    hits = sum(result.hits for result in runs if result.fault != NONE)
    return [
        str(hits) if hits or runs[0].fault != NONE else "–",  # noqa: RUF001  (a dash, as in print)
        str(sum(result.events for result in runs)),
        str(sum(result.pod_changes for result in runs)),
        str(sum(verdict.imports for verdict in verdicts)),
        str(sum(verdict.permanent for verdict in verdicts)),
        *(str(_broken(verdicts, [promise])) for promise in NAMED),
        str(_broken(verdicts, OTHER)),
        reasons or "0",
        *(str(_broken(verdicts, [promise])) for promise in SENT),
        f"{max(result.seconds for result in runs):.0f}",
    ]


def _broken(verdicts: list[Verdict], promises: Iterable[str]) -> int:
    return sum(len(getattr(verdict, promise)) for verdict in verdicts for promise in promises)
