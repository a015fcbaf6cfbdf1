"""The oracle finds each kind of broken promise when a fake operator breaks it, and finds nothing otherwise."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from policyhub.securityhub.errors import Unavailable
from tests.simulation.cluster import Cluster, Workload
from tests.simulation.hub import ACCOUNT, PRODUCT_ARN, Fault, Hub
from tests.simulation.kinds import CLUSTER_POLICY, NAMESPACE, POLICY_REPORT, SERVICE, Document
from tests.simulation.kyverno import Kyverno
from tests.simulation.loop import Loop, run
from tests.simulation.oracle import Circumstances, Oracle
from tests.simulation.rules import KYVERNO, Policy, Violation
from tests.simulation.server import Server, stamp
from tests.simulation.truth import Truth

FRONT = Violation(KYVERNO, "ports", "ports", "Service", "shop", "front")
NEVER = Violation(KYVERNO, "ports", "ports", "Service", "shop", "never")


@dataclass
class Stage:
    """A Service with a violation, an engine that has reported it, and a scripted operator."""

    server: Server
    cluster: Cluster
    kyverno: Kyverno
    hub: Hub
    oracle: Oracle
    conditions: dict[str, str]
    service: Workload

    async def send(self, violation: Violation = FRONT, state: str = "ACTIVE", **changes: Any) -> None:
        now = stamp(self.server.loop.wall_ms)
        old = self.hub.stored.get(str(violation))
        body: Document = {
            "Id": str(violation),
            "ProductArn": PRODUCT_ARN,
            "AwsAccountId": ACCOUNT,
            "Title": "ports",
            "CreatedAt": old["CreatedAt"] if old else now,
            "UpdatedAt": now,
            "RecordState": state,
            "FindingProviderFields": {"Severity": {"Label": "MEDIUM"}},
            "ProductFields": {
                "policyhub/source": violation.source,
                "policyhub/policy": violation.policy,
                "policyhub/rule": violation.rule,
            },
            "Resources": [
                {
                    "Details": {
                        "Other": {"Kind": violation.kind, "Namespace": violation.namespace, "Name": violation.name}
                    }
                }
            ],
        }
        await self.hub.take([body | changes])

    async def pass_(self, hours: float) -> None:
        await asyncio.sleep(3_600 * hours)
        self.oracle.check(self.server.loop.elapsed)

    async def fix(self) -> None:
        self.cluster.change(self.service, remove="nodeport")
        await self.pass_(0.1)


Act = Callable[[Stage], Awaitable[None]]


def judged(act: Act) -> list[str]:
    """The promises that the oracle finds broken, each once."""

    async def work(loop: Loop) -> list[str]:
        server = Server(loop, random.Random(1))
        cluster = Cluster(server, random.Random(2))
        kyverno = Kyverno(cluster, random.Random(3), interval=3_600, duration=60)
        truth = Truth(server, [kyverno])
        hub = Hub(loop, random.Random(4))
        conditions: dict[str, str] = {}
        circumstances = Circumstances(
            wall=lambda: loop.wall_ms / 1000,
            calm_since=lambda: 0.0,
            slow_news=lambda: False,
            unreadable=lambda: False,
            conditions=lambda: conditions,
        )
        oracle = Oracle(truth, hub, circumstances)
        hub.on_import = oracle.judge
        kyverno.on_denial = truth.deny

        def noticed(kind: Any, document: Document) -> None:
            truth.noticed(kind, document)
            kyverno.noticed(kind, document)

        server.on_change = noticed
        for kind in (POLICY_REPORT, CLUSTER_POLICY):
            server.install(kind)
        server.put(NAMESPACE, "shop")
        kyverno.add(Policy("ports", "ports", "nodeport", (SERVICE,)))
        service = Workload(SERVICE, "shop", "front", {"nodeport"})
        cluster.deploy(service)
        scans = loop.create_task(kyverno.run())
        stage = Stage(server, cluster, kyverno, hub, oracle, conditions, service)
        await stage.pass_(0.1)
        try:
            await act(stage)
        finally:
            scans.cancel()
        return sorted({broken.promise for broken in oracle.broken})

    return run(work, seed="oracle")


async def good(stage: Stage) -> None:
    await stage.send()
    await stage.pass_(30)
    stage.hub.customize(str(FRONT), Workflow={"Status": "NOTIFIED"})
    await stage.fix()
    await stage.send(state="ARCHIVED")
    await stage.pass_(30)


async def wrong(stage: Stage) -> None:
    await stage.send()
    await stage.pass_(1)
    await stage.send(state="ARCHIVED")


async def wrong_when_again(stage: Stage) -> None:
    """Deleted, created again, and no engine has scanned in between."""
    stage.kyverno.running = False
    await stage.send()
    stage.cluster.recreate(stage.service, seconds=60)
    await stage.pass_(0.3)
    await stage.send(state="ARCHIVED")


async def lost(stage: Stage) -> None:
    await stage.pass_(3)


async def false(stage: Stage) -> None:
    await stage.send()
    await stage.fix()
    await stage.send(state="ARCHIVED")
    await stage.pass_(1)
    await stage.send()


async def invented(stage: Stage) -> None:
    await stage.send()
    await stage.pass_(1)
    await stage.send(NEVER)


async def needless(stage: Stage) -> None:
    await stage.send()
    await stage.pass_(1)
    await stage.send()


async def restless(stage: Stage) -> None:
    await stage.pass_(0.5)
    await stage.send()
    await stage.pass_(3)
    await stage.send(Title="other words")
    await stage.pass_(3)
    await stage.send()


async def endless(stage: Stage) -> None:
    await stage.send()
    await stage.fix()
    await stage.pass_(30)


async def endless_though_held(stage: Stage) -> None:
    """A condition that holds a finding is no excuse once its engine has reported that the violation is gone."""
    stage.conditions["ArchiveHeld"] = "TooMany"
    await endless(stage)


async def born(stage: Stage) -> None:
    stage.kyverno.drop("ports")
    await stage.pass_(0.1)
    await stage.send(state="ARCHIVED")


async def moved(stage: Stage) -> None:
    await stage.send()
    await stage.fix()
    await stage.send(state="ARCHIVED", CreatedAt=stamp(stage.server.loop.wall_ms))


async def triage(stage: Stage) -> None:
    await stage.send(Workflow={"Status": "NEW"})


async def triage_undone(stage: Stage) -> None:
    await stage.send()
    stage.hub.customize(str(FRONT), Workflow={"Status": "SUPPRESSED"})
    stage.hub.stored[str(FRONT)]["Workflow"] = {"Status": "NEW"}
    await stage.pass_(0.1)


async def crashed(stage: Stage) -> None:
    await stage.send()
    stage.oracle.check(stage.server.loop.elapsed, "ValueError()")


CASES: dict[Act, list[str]] = {
    good: [],
    wrong: ["wrong"],
    wrong_when_again: ["wrong"],
    lost: ["lost"],
    false: ["false"],
    invented: ["false"],
    needless: ["needless"],
    restless: ["restless"],
    endless: ["endless"],
    endless_though_held: ["endless"],
    born: ["born"],
    moved: ["moved"],
    triage: ["triage"],
    triage_undone: ["triage"],
    crashed: ["crashed"],
}


@pytest.mark.parametrize(("act", "found"), CASES.items(), ids=[getattr(act, "__name__", "") for act in CASES])
def test_each_broken_promise_is_found(act: Act, found: list[str]) -> None:
    """The oracle finds exactly the promise that the fake operator breaks."""
    assert judged(act) == found


def test_a_lost_answer_allows_the_same_import_again() -> None:
    """After an import without an answer, the same body may be sent once more."""

    async def twice(stage: Stage) -> None:
        now = stage.server.loop.elapsed
        stage.hub.faults.append(Fault("lose", now, now + 10, 1.0))
        with pytest.raises(Unavailable):
            await stage.send()
        await stage.pass_(0.5)
        await stage.send()

    assert judged(twice) == []


def test_a_finding_denied_by_its_engine_may_be_archived() -> None:
    """The engine reported the violation gone, then it returned unseen: nobody can know before the next scan."""

    async def back(stage: Stage) -> None:
        await stage.send()
        stage.kyverno.policies["ports"].admission = False
        stage.cluster.change(stage.service, remove="nodeport")
        await stage.pass_(1)
        stage.cluster.change(stage.service, add="nodeport")
        await stage.pass_(0.1)
        await stage.send(state="ARCHIVED")

    assert judged(back) == []
