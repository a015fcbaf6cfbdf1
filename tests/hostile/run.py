"""One scenario: a new operator, the companies at work, the attack; then the verdict, and whether all is as before."""

import random
import re
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dev import stand
from tests.hostile import checker, lies, mass, outside, owners, texts, wild
from tests.hostile.arena import HOME, SECOND, Arena, Day
from tests.hostile.checker import TENANT, Verdict
from tests.hostile.observer import Observer
from tests.hostile.scenario import Attack, Scenario, Stage
from tests.integration.operator.world import CLUSTERS

Document = dict[str, Any]

ATTACKS = (texts, mass, owners, lies, outside, wild)
"""The modules that fill `SCENARIOS`."""
START_SECONDS = 60.0
SETTLE_SECONDS = 60.0
"""So long the companies are given to be exact: archives whose evidence has to ripen wait half a minute after a restart.
What should follow at once is judged by when it did.
"""
LINGER_SECONDS = 4.0
"""After the attack the companies go on for so long."""
NORMAL_SECONDS = 45.0
"""So long after the tenant's objects are gone all is well again."""
SAMPLE = 3_000
"""So many of the tenant's own findings are looked through."""


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
    said: str = ""
    """What of the status names who did it."""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return self.verdict.good

    @property
    def fails(self) -> bool:
        return not self.good and not self.scenario.open


def play(
    arena: Arena, played: Scenario, *, seed: int, seconds: float = 0.0, restart: bool = True, keep: Path | None = None
) -> Result:
    """`seconds` instead of the scenario's own; without `restart` in no scenario; `keep` is a folder for what there is
    to look into.
    """
    started = time.monotonic()
    arena.begin()
    if arena.settle(seconds=START_SECONDS) is None:
        raise stand.StandError(f"the companies never settled before {played.name}:\n{arena.world.operator.tail()}")
    triage = arena.triage()
    tenant = arena.tenant
    tenant.accepted = tenant.refused = 0
    result = Result(played, seed, Verdict())
    with ExitStack() as stack, Observer(arena.world, killed=arena.killed) as observer:
        tenant.until = time.monotonic() + (seconds or played.seconds)
        rng = random.Random(seed)  # noqa: S311  (repeatable)
        stage = Stage(arena, tenant, rng, tenant.until, stack.enter_context(ExitStack()))
        day = _day(stage, observer, attack=played.attack, restart=restart and played.restart)
        arena.settle(seconds=SETTLE_SECONDS)
        for look in stage.afterwards:
            look()
        day.catch_up()
        _judge(arena, day, triage, result)
        observer.findings(arena.tenants(SAMPLE))
        stage.stack.close()
        outside.leave(arena)
        arena.clear_tenant()
        if lasting := _lasting(arena):
            result.verdict.lasting.append(lasting)
        observer.finish()
    result.verdict.absorb(checker.observed(observer.seen, says=played.says))
    result.verdict.broken += [problem for problem in stage.problems if problem]
    result.memory = observer.seen.memory
    result.health = max(observer.seen.health, default=float("inf"))
    result.accepted, result.refused = tenant.accepted, tenant.refused
    names = played.says or (TENANT,)
    told = [text for text in sorted(observer.seen.told) if any(re.search(word, text) for word in names)]
    result.said = told[0] if told else ""
    result.seconds = time.monotonic() - started
    if keep is not None and not result.good:
        _keep(arena, observer, keep / played.name.replace(" ", "-").replace(":", ""))
    return result


def _day(stage: Stage, observer: Observer, *, attack: Attack, restart: bool) -> Day:
    """The companies at work while the attack goes on, and for a moment after it."""
    arena = stage.arena
    with Day(arena) as day:
        attack(stage)
        while not stage.over:
            time.sleep(0.1)  # the companies write in threads of their own; the end is a moment, no event
        if restart:
            arena.kill()
            try:
                arena.start()
            except stand.StandError as error:
                observer.seen.ended.append(f"did not start again: {str(error)[:200]}")
        time.sleep(LINGER_SECONDS)  # they go on for so long: it is their pace, nothing is waited for
    return day


def _judge(arena: Arena, day: Day, triage: Mapping[str, Mapping[str, Document]], result: Result) -> None:
    now = time.time()
    for name, company in arena.companies.items():
        judged = checker.judge(
            findings=arena.findings(name),
            journal=day.journal,
            census=company.census(),
            writes=company.writes,
            existed=company.existed,
            triage=triage[name],
            now=now,
            kills=arena.kills,
        )
        result.verdict.absorb(judged)
        result.delays[name] = judged.delays


def _lasting(arena: Arena) -> str:
    """Wait until all is well again; what is not, where that takes too long."""
    end = time.monotonic() + NORMAL_SECONDS
    while True:
        wrong = [name for name in (HOME, SECOND) if not _well(arena, name)]
        if not wrong and (arena.settle(seconds=max(1.0, end - time.monotonic())) is not None):
            return ""
        if time.monotonic() >= end:
            told = {name: arena.world.condition("Ready", name) for name in wrong}
            return f"{told or 'findings are not exact'} {NORMAL_SECONDS:.0f} s after the tenant's objects are gone"
        time.sleep(0.5)  # other processes, asked over HTTP


def _well(arena: Arena, name: str) -> bool:
    conditions = arena.world.monitored(name).get("status", {}).get("conditions", ())
    good = {c["type"]: c["status"] == "True" for c in conditions if c["type"] not in checker.HELD}
    return bool(good) and all(good.values())


def _keep(arena: Arena, observer: Observer, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, operator in enumerate(arena.world.operators, 1):
        (folder / f"operator-{number}.log").write_text("\n".join(map(str, operator.log())))
    (folder / "told.txt").write_text("\n".join(map(ascii, sorted(observer.seen.told))))
    (folder / "status.txt").write_text(str(arena.world.cluster.request("GET", CLUSTERS)))
