"""Two operators of one cluster, divided by labels: no finding is archived, duplicated or sent twice while labels
move.
"""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientError, web

from dev.testbed import Operator
from policyhub.control.stall_guard import STALL_SECONDS
from tests.integration.operator.gate import Gate
from tests.integration.operator.test_operator_deletion import finalizers, kept
from tests.integration.operator.world import CLUSTERS, Document, World, report, result
from tests.integration.takeover.relay import Relay

UNANSWERED_SECONDS = 30
LAG_SECONDS = 45
"""The second look-up comes after a minute."""
FLEET = ("alpha", "beta", "gamma")


def label(world: World, name: str, shard: str | None) -> None:
    world.cluster.request("PATCH", f"{CLUSTERS}/{name}", {"metadata": {"labels": {"shard": shard}}})


@dataclass
class Shard:
    """One operator with its own way to Security Hub and to the API server, and its imports: ids and states."""

    gate: Gate
    relay: Relay
    process: Operator
    sent: list[tuple[str, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Imports that were refused."""
    refuses: bool = False

    def interceptor(self, request: web.Request, body: bytes) -> web.Response | None:
        if not request.path.startswith("/findings/import"):
            return None
        found = [(finding["Id"], finding["RecordState"]) for finding in json.loads(body)["Findings"]]
        if self.refuses:
            self.refused += [id_ for id_, _ in found]
            return web.Response(status=503)
        self.sent += found
        return None

    def logged(self, event: str, name: str) -> int:
        """How often it has logged this about this MonitoredCluster."""
        return sum(line.get("event") == event and line.get("cluster") == name for line in self.process.log())


@dataclass
class Shards:
    world: World
    a: Shard
    b: Shard
    freed: Event = field(default_factory=Event)
    """Set when a MonitoredCluster has been moved."""

    def unanswered(self, body: bytes, answer: bytes) -> bytes:
        """Security Hub has accepted the import, and the operator waits for its answer until the label has moved; then
        the connection breaks.
        """
        if b'"Findings"' in body:
            self.freed.wait(UNANSWERED_SECONDS)
            raise ClientError
        return answer

    def move(
        self,
        name: str,
        shard: str | None,
        *,
        by: Shard | None = None,
        given_up: Shard | None = None,
        read: bool = False,
    ) -> None:
        """Change the label, and wait until one operator has started with it and the other has released it; with `read`,
        until the new one has read the inventory.
        """
        began = by.logged("monitored_cluster_started", name) if by else 0
        inventories = by.logged("inventory_read", name) if by else 0
        ended = given_up.logged("monitored_cluster_given_up", name) if given_up else 0
        label(self.world, name, shard)
        if by is not None:
            self.world.until(lambda: by.logged("monitored_cluster_started", name) > began, f"{name} to be taken")
        if given_up is not None:
            self.world.until(
                lambda: given_up.logged("monitored_cluster_given_up", name) > ended, f"{name} to be given up"
            )
        self.freed.set()
        if by is not None and read:
            self.world.until(lambda: by.logged("inventory_read", name) > inventories, f"the inventory of {name}")

    def synced(self, name: str, *, by: Shard) -> None:
        self.world.until(lambda: by.process.metric("policyhub_in_sync", cluster=name) == 1, f"{name} to be in sync")

    def sent(self) -> Counter[tuple[str, str]]:
        return Counter([*self.a.sent, *self.b.sent])


def by_id(world: World) -> dict[str, Document]:
    return {finding["Id"]: finding for finding in world.hub.findings()}


@pytest.fixture
def shards(world: World, tmp_path: Path) -> Iterator[Shards]:
    """`shard=a` and `shard in (b, c)`, as two releases, ready."""
    with ExitStack() as stack:

        def start(name: str, selector: str) -> Shard:
            server = urlsplit(world.cluster.url)
            gate = stack.enter_context(Gate(world.hub.url))
            relay = stack.enter_context(Relay(str(server.hostname), int(server.port or 0)))
            config = json.loads(world.installed.kubeconfig().read_text())
            for entry in config["clusters"]:
                entry["cluster"]["server"] = f"https://{server.hostname}:{relay.port}"
            path = tmp_path / f"{name}.kubeconfig"
            path.write_text(json.dumps(config))
            own = {"KUBECONFIG": str(path), "AWS_ENDPOINT_URL": gate.url, "POLICYHUB_WATCH_SELECTOR": selector}
            made = Shard(gate, relay, world.start(wait=False, **own))
            gate.interceptor = made.interceptor
            return made

        both = Shards(world, start("a", "shard=a"), start("b", "shard in (b, c)"))
        for shard in (both.a, both.b):
            world.until(lambda process=shard.process: process.ready, "it to be ready")  # type: ignore[misc]  # a default binds it
        yield both
        world.end()


def test_moving_labels(shards: Shards) -> None:
    """While GetFindings lags, clusters move between the operators, to none and back, ten times in a second, and during
    an import without an answer: each violation is sent once, by its cluster's operator, nothing is archived, and that
    operator holds the finalizer.
    """
    world, a, b = shards.world, shards.a, shards.b
    world.apply(*(report(f"app-{n}", result("first")) for n in range(5)))
    for name, shard in zip(FLEET, ("a", "b", "none"), strict=True):
        world.monitor(name, deletionPolicy="Archive", archiveDelay="2s")
        label(world, name, shard)
    shards.synced("alpha", by=a)
    shards.synced("beta", by=b)
    assert Counter(id_.split("/")[1] for id_, _ in a.sent) == {"alpha": 5}
    assert Counter(id_.split("/")[1] for id_, _ in b.sent) == {"beta": 5}
    assert world.monitored("gamma")["status"] == {"observedGeneration": -1}

    lag = world.hub.fault("lag", delay_seconds=LAG_SECONDS)
    a.gate.rewrite = shards.unanswered
    world.apply(report("fresh", result("fresh")))
    world.until(lambda: len(a.sent) == 6, "an import that gets no answer")
    shards.move("alpha", "c", by=b, given_up=a, read=True)  # during the import
    a.gate.rewrite = None
    world.until(lambda: not a.process.metric("policyhub_in_sync"), "its metrics to end")

    for _ in range(5):
        for shard in ("a", "b"):
            label(world, "alpha", shard)
            time.sleep(0.05)  # faster than an operator takes a cluster over
    shards.move("alpha", None, given_up=b)
    shards.move("alpha", "a", by=a, read=True)

    kept(world, "beta")
    shards.move("beta", "a", by=a, given_up=b)
    kept(world, "beta")  # by its new operator
    assert set(shards.sent().values()) == {1}
    assert {state for _, state in shards.sent()} == {"ACTIVE"}
    world.hub.clear_fault(lag)
    found = Counter((id_.split("/")[1], finding["RecordState"]) for id_, finding in by_id(world).items())
    assert found == {("alpha", "ACTIVE"): 6, ("beta", "ACTIVE"): 6}
    assert {entry["outcome"] for entry in world.journal()} == {"created"}
    assert not finalizers(world, "gamma")


def test_changes_just_before_a_label_moves(shards: Shards) -> None:
    """While GetFindings lags, findings are changed, archived and reactivated, and their cluster goes to the other
    operator, then back to the first one, which has its own older acknowledgements: each change was sent once.
    """
    world, a, b = shards.world, shards.a, shards.b
    names = ("worded", "fixed", "back")
    world.apply(*(report(name, result("p")) for name in names))
    world.monitor(archiveDelay="2s")
    label(world, "alpha", "a")
    shards.synced("alpha", by=a)
    world.apply(report("back", result("p", result="pass")))
    world.until(lambda: world.states("p")["back"] == "ARCHIVED", "back to be archived")
    lag = world.hub.fault("lag", delay_seconds=LAG_SECONDS)
    mark = world.mark()

    def sent(number: int) -> None:
        world.until(lambda: len(world.journal(mark)) == number, f"{number} changes")

    world.apply(
        report("worded", result("p", severity="high", message="another text")),
        report("fixed", result("p", result="pass")),
        report("back", result("p")),
    )
    sent(3)
    shards.move("alpha", "b", by=b, given_up=a, read=True)
    shards.synced("alpha", by=b)
    world.apply(report("worded", result("p")), report("fixed", result("p")), report("back", result("p", result="pass")))
    sent(6)
    shards.move("alpha", "a", by=a, given_up=b, read=True)
    shards.synced("alpha", by=a)
    world.apply(report("fresh", result("p")))
    sent(7)
    world.hub.clear_fault(lag)
    outcomes = Counter(entry["outcome"] for entry in world.journal(mark))
    assert outcomes == {"changed": 2, "archived": 2, "reactivated": 2, "created": 1}
    assert world.states("p") == {"worded": "ACTIVE", "fixed": "ACTIVE", "back": "ARCHIVED", "fresh": "ACTIVE"}
    assert (len(a.sent), len(b.sent)) == (3 + 1 + 3 + 1, 3)


def test_an_operator_is_frozen_while_the_label_moves(shards: Shards) -> None:
    """An operator is frozen with an unsent archive; meanwhile its cluster moves to another, and the finding is reported
    again. When it wakes its API server is silent: it sends nothing, although Security Hub answers, and gives the
    cluster up once it reads the new label.
    """
    world, a, b = shards.world, shards.a, shards.b
    world.apply(report("app", result("comes-and-goes")), report("other", result("stays")))
    world.monitor(archiveDelay="2s")
    label(world, "alpha", "a")
    shards.synced("alpha", by=a)
    a.refuses = True
    world.apply(report("app", result("comes-and-goes", result="pass")))
    world.until(lambda: bool(a.refused), "an archive that Security Hub does not take")
    pid = a.process.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        frozen = time.monotonic()
        a.relay.stall()
        world.apply(report("app", result("comes-and-goes")))
        label(world, "alpha", "b")
        shards.synced("alpha", by=b)
        a.refuses = False
        time.sleep(max(0.0, frozen + STALL_SECONDS + 1 - time.monotonic()))
    finally:
        os.kill(pid, signal.SIGCONT)
    withheld = {"operation": "BatchImportFindings", "code": "NotLeader"}
    world.until(
        lambda: len(a.sent) > 2 or a.process.metric("policyhub_hub_requests_total", **withheld) > 0,
        "it to want to send",
    )
    a.relay.flow()
    world.until(lambda: a.logged("monitored_cluster_given_up", "alpha") == 1, "it to be given up")
    assert len(a.sent) == 2
    assert b.sent == []
    assert len(world.found(state="ACTIVE")) == 2


def test_one_identity_in_two_shards(shards: Shards) -> None:
    """Two MonitoredClusters of one identity and hub, each of another operator: the older goes on, both say so, and the
    younger takes over when the older is deleted. Its spec would archive what the older one sends.
    """
    world, a, b = shards.world, shards.a, shards.b
    arn = "arn:aws:eks:eu-west-1:111122223333:cluster/one"
    world.apply(report("web", result("claimed")))  # medium
    world.monitor("first", clusterArn=arn, archiveDelay="2s")
    label(world, "first", "a")
    shards.synced("first", by=a)
    time.sleep(1)  # creation times are of whole seconds
    world.monitor("second", clusterArn=arn, archiveDelay="2s", minimumSeverity="high")
    label(world, "second", "b")
    twice = world.await_condition("IdentityConflict", "True", reason="ClaimedTwice", name="second")
    assert "first" in twice["message"]
    also = world.await_condition("IdentityConflict", "True", reason="AlsoClaimed", name="first")
    assert "second" in also["message"]
    world.apply(report("api", result("claimed", severity="high")))
    world.await_states("claimed", cluster=arn, web="ACTIVE", api="ACTIVE")
    assert b.sent == []
    world.cluster.request("DELETE", f"{CLUSTERS}/first")
    world.await_condition("IdentityConflict", "False", reason="NoConflict", name="second")
    world.await_states("claimed", cluster=arn, web="ARCHIVED", api="ACTIVE")
    assert [state for _, state in b.sent] == ["ARCHIVED"]
