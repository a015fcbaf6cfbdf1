"""The models behave as the real things do, where the operator hangs on it."""

import asyncio
import random
import time
from typing import Any, cast

import msgspec
import pytest

from policyhub.clock import SteadyMs
from policyhub.kube.connection import Connection as Real
from policyhub.kube.connection import Refused
from policyhub.model.violation import Subject
from policyhub.sync.existence import Answer, Existence, PolicyName
from policyhub.sync.existence_client import ExistenceClient
from tests.simulation.cluster import Cluster, Workload, reference
from tests.simulation.edges import Connection
from tests.simulation.hub import Hub
from tests.simulation.hub import Trouble as HubTrouble
from tests.simulation.kinds import CLUSTER_POLICY, CONFIGMAP, DEPLOYMENT, NAMESPACE, POD, REPLICASET, SERVICE
from tests.simulation.loop import EPOCH_MS, Deadlock, Loop, run
from tests.simulation.server import Server, Trouble, stamp


def test_weeks_pass_at_once() -> None:
    """Four weeks of sleep are over as soon as they are asked for, and all clocks say that they have passed."""

    async def work(loop: Loop) -> tuple[float, float]:
        began = time.monotonic()
        await asyncio.sleep(28 * 86_400)
        return time.monotonic() - began, time.time()

    passed, now = run(work, seed="1")
    assert passed == pytest.approx(28 * 86_400)
    assert now == pytest.approx(EPOCH_MS / 1000 + 28 * 86_400)


def test_waiting_for_nothing_is_an_error() -> None:
    """What would wait for ever says so."""

    async def work(loop: Loop) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run(work, seed="1")


def played(work: Any) -> Any:
    async def act(loop: Loop) -> Any:
        server = Server(loop, random.Random(1))
        return await work(server)

    return run(act, seed="models")


def test_what_an_object_owned_follows_it() -> None:
    """A Deployment's ReplicaSet and Pods go seconds after it."""

    async def work(server: Server) -> tuple[int, int]:
        cluster = Cluster(server, random.Random(1))
        cluster.namespace("shop")
        web = Workload(DEPLOYMENT, "shop", "web", replicas=3)
        cluster.deploy(web)
        before = len(list(server.all(POD)))
        cluster.delete(web)
        await asyncio.sleep(20)
        return before, len([*server.all(POD), *server.all(REPLICASET)])

    assert played(work) == (3, 0)


def test_a_namespace_that_ends_takes_nothing_new() -> None:
    """Terminating first: creations are refused, then all in it goes, then it."""

    async def work(server: Server) -> tuple[bool, bool, bool]:
        server.put(NAMESPACE, "shop")
        server.put(CONFIGMAP, "a", "shop")
        server.end_namespace("shop")
        refused = server.put(CONFIGMAP, "b", "shop") is None
        there = server.get(NAMESPACE, "", "shop") is not None
        await asyncio.sleep(90)
        return refused, there, server.get(NAMESPACE, "", "shop") is None and not list(server.all(CONFIGMAP))

    assert played(work) == (True, True, True)


def test_pages_and_versions_expire() -> None:
    """A listing comes in pages; after a compaction its token, and a watch from before, are answered with 410."""

    async def work(server: Server) -> list[int]:
        server.put(NAMESPACE, "shop")
        for number in range(5):
            server.put(CONFIGMAP, f"c{number}", "shop")
        connection = Connection(server)
        page = msgspec.json.decode(await connection.get(CONFIGMAP.path, {"limit": "2"}))
        token, version = page["metadata"]["continue"], page["metadata"]["resourceVersion"]
        server.expire()
        answers = [len(page["items"])]
        try:
            await connection.get(CONFIGMAP.path, {"limit": "2", "continue": token})
        except Refused as error:
            answers.append(error.status)
        try:
            async with connection.stream(CONFIGMAP.path, {"resourceVersion": version}, idle_seconds=60):
                pass
        except Refused as error:
            answers.append(error.status)
        return answers

    assert played(work) == [2, 410, 410]


def test_a_watch_tells_what_was_missed() -> None:
    """From the listing's version on, deletions too; a Pod that has ended is deleted for who asked for running ones."""

    async def work(server: Server) -> list[str]:
        server.put(NAMESPACE, "shop")
        for name in ("a", "b"):
            server.put(POD, name, "shop", status={"phase": "Running"})
        version = str(server.version)
        server.delete(POD, "shop", "a")
        server.put(POD, "b", "shop", status={"phase": "Succeeded"})
        params = {"resourceVersion": version, "fieldSelector": "status.phase!=Succeeded", "timeoutSeconds": "5"}
        async with Connection(server).stream(POD.path, params, idle_seconds=60) as lines:
            return [msgspec.json.decode(line)["type"] async for line in lines]

    assert played(work) == ["DELETED", "DELETED", "BOOKMARK"]


def test_owners_are_told_by_uid() -> None:
    """A Pod of a ReplicaSet that was made again under its name does not go with the old one."""

    async def work(server: Server) -> bool:
        server.put(NAMESPACE, "shop")
        server.put(REPLICASET, "web", "shop")
        server.delete(REPLICASET, "shop", "web")
        new = server.put(REPLICASET, "web", "shop")
        assert new is not None
        server.put(POD, "p", "shop", owner=reference(new))
        await asyncio.sleep(30)
        return server.get(POD, "shop", "p") is not None

    assert played(work) is True


def test_what_exists_can_be_asked() -> None:
    """The shipped asker learns what is there, with the time of the last change, what is gone, and what is refused."""

    async def work(server: Server) -> tuple[list[str], list[bool], list[str]]:
        def now() -> SteadyMs:
            return SteadyMs(round(server.loop.elapsed * 1000))

        existence = Existence(now=now)
        task = asyncio.create_task(
            ExistenceClient(existence, cluster="alpha", now=now).run(cast(Real, Connection(server)))
        )
        server.put(NAMESPACE, "shop")
        server.install(CLUSTER_POLICY)
        server.put(CLUSTER_POLICY, "kept")
        for number in range(60):
            server.put(POD, f"p{number}", "shop", spec={"a": 1}, status={"phase": "Pending"})
        began = server.loop.wall_ms
        await asyncio.sleep(100)
        server.put(POD, "p0", "shop", spec={"a": 1}, status={"phase": "Running"})
        server.put(POD, "p1", "shop", spec={"a": 2}, status={"phase": "Running"})
        server.put(SERVICE, "s", "shop")
        server.delete(POD, "shop", "p2")
        server.troubles.append(Trouble(CONFIGMAP.path, "403", 0, 1_000))
        asked: list[Subject | PolicyName] = [Subject("", "Pod", "shop", f"p{number}") for number in range(3)]
        asked += [Subject("", "Service", "shop", "s"), Subject("", "Service", "shop", "t")]
        asked += [Subject("", "ConfigMap", "shop", "c"), Subject("apps", "Deployment", "never", "d")]
        asked += [PolicyName("kyverno", "kept"), PolicyName("kyverno", "lost")]
        more = [Subject("", "Pod", "shop", f"p{number}") for number in range(3, 80)]

        def look() -> list[Answer]:
            found = [
                existence.policy(it.source, it.policy, since=SteadyMs(0))
                if isinstance(it, PolicyName)
                else existence.subject(it, since=SteadyMs(0))
                for it in [*asked, *more]
            ]
            return [answer for answer in found if answer is not None]

        while len(answers := look()) < len(asked) + len(more):  # noqa: ASYNC110  (virtual time)
            await asyncio.sleep(1)
        task.cancel()
        assert [answer.presence for answer in answers[len(asked) :]] == ["there"] * 57 + ["gone"] * 20
        changed = [int(answer.changed_at) < int(began) + 50_000 for answer in answers[:2]]
        return [str(answer.presence) for answer in answers[: len(asked)]], changed, existence.forbidden

    there, gone, unknown = "there", "gone", "unknown"
    assert played(work) == (
        [there, there, gone, there, gone, unknown, gone, there, gone],
        [True, False],
        ["configmaps"],
    )


def test_the_hub_reads_late_and_forgets() -> None:
    """A reading shows what was a while ago; active findings are forgotten after 90 days."""

    async def work(server: Server) -> tuple[int, int, int]:
        hub = Hub(server.loop, random.Random(1))
        hub.troubles.append(HubTrouble("lag", 0, 100, 60))
        now = stamp(server.loop.wall_ms)
        body = {"Id": "x", "CreatedAt": now, "UpdatedAt": now, "RecordState": "ACTIVE", "Title": "t"}
        await hub.take([body | {"FindingProviderFields": {"Severity": {"Label": "LOW"}}}])
        late = len(await hub.read({}))
        await asyncio.sleep(90)
        then = len(await hub.read({}))
        await asyncio.sleep(91 * 86_400)
        return late, then, len(await hub.read({}))

    assert played(work) == (0, 1, 0)
