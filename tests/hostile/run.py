"""Runs one scenario: a new operator, the companies' changes, the attack; then the verdict, and whether the operator
recovers.
"""

import random
import re
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dev import testbed
from tests.hostile import checker, lies, mass, outside, owners, texts, wild
from tests.hostile.checker import TENANT, Verdict
from tests.hostile.harness import HOME, SECOND, Harness, Workday
from tests.hostile.observer import Observer
from tests.hostile.scenario import Attack, Context, Scenario
from tests.integration.operator.world import CLUSTERS

Document = dict[str, Any]

ATTACKS = (texts, mass, owners, lies, outside, wild)
"""The modules that register scenarios in `SCENARIOS`."""
START_SECONDS = 60.0
EXACT_SECONDS = 60.0
"""How long the companies' findings may take to be exact: archives whose evidence must mature wait half a minute after a
restart. Prompt writes are checked by their own delays.
"""
LINGER_SECONDS = 4.0
"""How long the companies continue after the attack."""
NORMAL_SECONDS = 45.0
"""How long the operator may take to recover after the tenant's objects are deleted."""
SAMPLE = 3_000
"""How many of the tenant's own findings are checked."""


@dataclass
class Result:
    scenario: Scenario
    seed: int
    verdict: Verdict
    delays: dict[str, list[float]] = field(default_factory=dict)
    """By cluster."""
    memory: float = 0.0
    health: float = 0.0
    accepted: int = 0
    refused: int = 0
    statement: str = ""
    """The first text in the status that names the cause."""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return self.verdict.good

    @property
    def fails(self) -> bool:
        return not self.good and not self.scenario.open


def run_scenario(
    harness: Harness,
    scenario: Scenario,
    *,
    seed: int,
    seconds: float = 0.0,
    restart: bool = True,
    keep: Path | None = None,
) -> Result:
    """`seconds` overrides the scenario's own; `restart=False` prevents the restart of any scenario; `keep` is a folder
    for logs and status if a promise was broken.
    """
    started = time.monotonic()
    harness.begin()
    if harness.wait_until_exact(seconds=START_SECONDS) is None:
        raise testbed.OperatorError(
            f"the findings were never exact before {scenario.name}:\n{harness.world.operator.tail()}"
        )
    triage = harness.triage()
    tenant = harness.tenant
    tenant.accepted = tenant.refused = 0
    result = Result(scenario, seed, Verdict())
    with ExitStack() as stack, Observer(harness.world, killed=harness.killed) as observer:
        tenant.until = time.monotonic() + (seconds or scenario.seconds)
        rng = random.Random(seed)  # noqa: S311  (repeatable)
        context = Context(harness, tenant, rng, tenant.until, stack.enter_context(ExitStack()))
        day = _day(context, observer, attack=scenario.attack, restart=restart and scenario.restart)
        harness.wait_until_exact(seconds=EXACT_SECONDS)
        for probe in context.afterwards:
            probe()
        day.catch_up()
        _check(harness, day, triage, result)
        observer.findings(harness.tenants(SAMPLE))
        context.stack.close()
        outside.leave(harness)
        harness.clear_tenant()
        if lasting := _lasting_effects(harness):
            result.verdict.lasting.append(lasting)
        observer.finish()
    result.verdict.absorb(checker.observed(observer.seen, expected_texts=scenario.expected_texts))
    result.verdict.broken += [problem for problem in context.problems if problem]
    result.memory = observer.seen.memory
    result.health = max(observer.seen.health, default=float("inf"))
    result.accepted, result.refused = tenant.accepted, tenant.refused
    names = scenario.expected_texts or (TENANT,)
    statements = [text for text in sorted(observer.seen.statements) if any(re.search(word, text) for word in names)]
    result.statement = statements[0] if statements else ""
    result.seconds = time.monotonic() - started
    if keep is not None and not result.good:
        _keep(harness, observer, keep / scenario.name.replace(" ", "-").replace(":", ""))
    return result


def _day(context: Context, observer: Observer, *, attack: Attack, restart: bool) -> Workday:
    """The companies make changes during the attack and for a moment after it."""
    harness = context.harness
    with Workday(harness) as day:
        attack(context)
        while not context.over:
            time.sleep(0.1)  # the companies run in their own threads; the end is a time, not an event
        if restart:
            harness.kill()
            try:
                harness.start()
            except testbed.OperatorError as error:
                observer.seen.ended.append(f"did not start again: {str(error)[:200]}")
        time.sleep(LINGER_SECONDS)  # the companies continue at their own pace; nothing is waited for
    return day


def _check(harness: Harness, day: Workday, triage: Mapping[str, Mapping[str, Document]], result: Result) -> None:
    now = time.time()
    for name, company in harness.companies.items():
        verdict = checker.check(
            findings=harness.findings(name),
            journal=day.journal,
            state=company.read_state(),
            writes=company.writes,
            existed=company.existed,
            triage=triage[name],
            now=now,
            kills=harness.kills,
        )
        result.verdict.absorb(verdict)
        result.delays[name] = verdict.delays


def _lasting_effects(harness: Harness) -> str:
    """Wait for the operator to recover; returns what is still wrong after NORMAL_SECONDS, or an empty text."""
    end = time.monotonic() + NORMAL_SECONDS
    while True:
        wrong = [name for name in (HOME, SECOND) if not _well(harness, name)]
        if not wrong and (harness.wait_until_exact(seconds=max(1.0, end - time.monotonic())) is not None):
            return ""
        if time.monotonic() >= end:
            problem = {name: harness.world.condition("Ready", name) for name in wrong} or "findings are not exact"
            return f"{problem} {NORMAL_SECONDS:.0f} s after the tenant's objects were deleted"
        time.sleep(0.5)  # other processes, polled over HTTP


def _well(harness: Harness, name: str) -> bool:
    conditions = harness.world.monitored(name).get("status", {}).get("conditions", ())
    good = {c["type"]: c["status"] == "True" for c in conditions if c["type"] not in checker.HELD}
    return bool(good) and all(good.values())


def _keep(harness: Harness, observer: Observer, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, operator in enumerate(harness.world.operators, 1):
        (folder / f"operator-{number}.log").write_text("\n".join(map(str, operator.log())))
    (folder / "statements.txt").write_text("\n".join(map(ascii, sorted(observer.seen.statements))))
    (folder / "status.txt").write_text(str(harness.world.cluster.request("GET", CLUSTERS)))
