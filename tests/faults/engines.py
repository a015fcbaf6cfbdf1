"""The engines that look at workloads, and what each says of an object.

| engine | looks at | when |
|---|---|---|
| kyverno | everything, by rules derived from one about Pods; a sidecar at Pods only | at once |
| revision | ReplicaSets and Jobs | at once |
| hourly | Pods | late |
"""

import random
from collections.abc import Iterable, Iterator, Mapping

from tests.faults.family import Ref
from tests.faults.paper import Result
from tests.faults.scene import Key

KYVERNO, REVISION, HOURLY = "kyverno", "revision", "hourly"
ENGINES = {KYVERNO: "PolicyReport", REVISION: "PolicyReport", HOURLY: "Report"}
"""With the kind of report that each writes."""
LOOKS = {REVISION: {"ReplicaSet", "Job"}, HOURLY: {"Pod"}}
SIDECAR = Result("mesh", "sidecar", "fail", "low")
POLICIES = (("alpha", "check"), ("beta", "each-container-must-name-the-team-that-answers-for-it-at-night"))
"""The second one's name is too long for the derived rules."""
RULE = 63
"""Characters of a rule's name."""

Said = Mapping[str, list[Result]]
"""By engine, what it says of a template."""


def draw(rng: random.Random) -> dict[str, list[Result]]:
    """Of a new template."""
    return {engine: drawn(rng, engine) for engine in ENGINES}


def drawn(rng: random.Random, engine: str) -> list[Result]:
    words = ("fail", "fail", "warn", "error", "pass", "skip")
    results = [
        Result(*policy, rng.choice(words), rng.choice(("low", "medium", "high")), rng.randrange(3))
        for policy in POLICIES
    ]
    sidecar = [SIDECAR._replace(outcome=rng.choice(("fail", "pass")))] if engine == KYVERNO else []
    return results + sidecar


def seen(said: Said, ref: Ref) -> Iterator[tuple[Key, list[Result]]]:
    """What each engine that looks at the object says of it."""
    for engine, kind in ENGINES.items():
        if engine not in LOOKS or ref.kind in LOOKS[engine]:
            yield (engine, kind, ref), derived(said[engine], ref.kind) if engine == KYVERNO else said[engine]


def derived(said: Iterable[Result], kind: str) -> list[Result]:
    """Kyverno's rules for the kind. Nothing but a Pod has a sidecar."""
    prefix = {"Pod": "", "CronJob": "autogen-cronjob-"}.get(kind, "autogen-")
    return [r._replace(rule=f"{prefix}{r.rule}"[:RULE]) for r in said if kind == "Pod" or r.policy != SIDECAR.policy]


def keys(ref: Ref) -> list[Key]:
    return [(engine, kind, ref) for engine, kind in ENGINES.items()]
