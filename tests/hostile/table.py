"""Reports of the hostile suite for people: a line for each scenario, and the table at the end."""

from collections.abc import Iterable, Sequence

from tests.hostile.checker import PROMISES, middle, quantile
from tests.hostile.harness import HOME, SECOND
from tests.hostile.run import Result

HEADER = (
    "scenario", "delay median", "p99", "max", "second cluster", "RSS peak", "healthz", "writes", "wrong", "missing",
    "double", "needless", "other", "status text",
)  # fmt: skip
NAMED = ("wrong", "missing", "double", "needless")
OTHER = tuple(promise for promise in PROMISES if promise not in NAMED)
SHOWN = 4
WIDTH = 90


def line(result: Result) -> str:
    """One scenario: its numbers, what was broken, and how to run it again."""
    delays = result.delays.get(HOME, [])
    verdict = "ok" if result.good else ("open" if not result.fails else "BROKEN")
    summary = (
        f"{verdict}  {result.scenario.name}, seed {result.seed}: {result.accepted} writes of the tenant"
        f" ({result.refused} refused), {len(delays)} of the company; {_figures(delays)},"
        f" {result.memory:.0f} MiB, {result.seconds:.0f} s"
    )
    if result.good:
        return summary
    lines = [summary]
    for promise, broken in result.verdict.violated():
        lines.append(f"    {promise} ({PROMISES[promise]}): {len(broken)}")
        lines += [f"        {text[:300]}" for text in broken[:SHOWN]]
    lines.append(f"    again: python -m tests.hostile --scenario '{result.scenario.name}' --seeds {result.seed}")
    return "\n".join(lines)


def table(results: Iterable[Result]) -> str:
    rows = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
    return "\n".join([*rows, *("| " + " | ".join(_row(result)) + " |" for result in results)])


def _row(result: Result) -> list[str]:
    delays, second = result.delays.get(HOME, []), result.delays.get(SECOND, [])
    others = {promise: len(getattr(result.verdict, promise)) for promise in OTHER}
    return [
        result.scenario.name + (" (restart)" if result.scenario.restart else ""),
        f"{middle(delays):.2f} s",
        f"{quantile(delays, 0.99):.2f} s",
        f"{max(delays, default=0):.2f} s",
        f"{middle(second):.2f} / {max(second, default=0):.2f} s",
        f"{result.memory:.0f} MiB",
        f"{result.health:.2f} s",
        f"{result.accepted} ({result.refused} refused)",
        *(str(len(getattr(result.verdict, promise))) for promise in NAMED),
        ", ".join(f"{number} {promise}" for promise, number in others.items() if number) or "0",
        _short(result.statement),
    ]


def _short(text: str) -> str:
    plain = ascii(text)[1:-1].replace("|", "\\|")
    return plain if len(plain) <= WIDTH else plain[: WIDTH - 1] + "…"


def _figures(delays: Sequence[float]) -> str:
    return f"delay {middle(delays):.2f} s, p99 {quantile(delays, 0.99):.2f} s, at most {max(delays, default=0):.2f} s"
