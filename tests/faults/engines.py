"""The engines that scan workloads, and the results of each for an object.

| engine | scans | when |
|---|---|---|
| kyverno | all kinds, with rules derived from a Pod rule; the sidecar policy matches Pods only | at once |
| revision | ReplicaSets and Jobs | at once |
| hourly | Pods | late |
"""

import random
from collections.abc import Iterable, Iterator, Mapping

from tests.faults.manifests import Result
from tests.faults.owner_graph import Ref
from tests.faults.scene import Key

KYVERNO, REVISION, HOURLY = "kyverno", "revision", "hourly"
ENGINES = {KYVERNO: "PolicyReport", REVISION: "PolicyReport", HOURLY: "Report"}
"""Each engine with the kind of report that it writes."""
SCANNED_KINDS = {REVISION: {"ReplicaSet", "Job"}, HOURLY: {"Pod"}}
SIDECAR = Result("mesh", "sidecar", "fail", "low")
POLICIES = (("alpha", "check"), ("beta", "each-container-must-name-the-team-that-answers-for-it-at-night"))
"""The name of the second rule is too long for the derived rules."""
RULE = 63
"""Maximum length of a rule's name."""

ResultsByEngine = Mapping[str, list[Result]]
"""Results for a template, by engine."""


def draw(rng: random.Random) -> dict[str, list[Result]]:
    """Random results of all engines for a new template."""
    return {engine: drawn(rng, engine) for engine in ENGINES}


def drawn(rng: random.Random, engine: str) -> list[Result]:
    outcomes = ("fail", "fail", "warn", "error", "pass", "skip")
    results = [
        Result(*policy, rng.choice(outcomes), rng.choice(("low", "medium", "high")), rng.randrange(3))
        for policy in POLICIES
    ]
    sidecar = [SIDECAR._replace(outcome=rng.choice(("fail", "pass")))] if engine == KYVERNO else []
    return results + sidecar


def reports_on(results: ResultsByEngine, ref: Ref) -> Iterator[tuple[Key, list[Result]]]:
    """The results of each engine that scans the object."""
    for engine, kind in ENGINES.items():
        if engine not in SCANNED_KINDS or ref.kind in SCANNED_KINDS[engine]:
            yield (engine, kind, ref), derived(results[engine], ref.kind) if engine == KYVERNO else results[engine]


def derived(results: Iterable[Result], kind: str) -> list[Result]:
    """Kyverno's rules for the kind. Only Pods have a sidecar."""
    prefix = {"Pod": "", "CronJob": "autogen-cronjob-"}.get(kind, "autogen-")
    return [r._replace(rule=f"{prefix}{r.rule}"[:RULE]) for r in results if kind == "Pod" or r.policy != SIDECAR.policy]


def keys(ref: Ref) -> list[Key]:
    return [(engine, kind, ref) for engine, kind in ENGINES.items()]
