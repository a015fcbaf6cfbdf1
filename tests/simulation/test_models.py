"""The simulation's models behave like the real systems where the operator depends on it."""

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
from tests.simulation.hub import Fault as HubFault
from tests.simulation.hub import Hub
from tests.simulation.kinds import CLUSTER_POLICY, CONFIGMAP, DEPLOYMENT, NAMESPACE, POD, REPLICASET, SERVICE
from tests.simulation.loop import EPOCH_MS, Deadlock, Loop, run
from tests.simulation.server import Fault, Server, stamp


def test_weeks_of_virtual_time_pass_at_once() -> None:
    """Four weeks of sleep return at once, and all clocks have advanced by four weeks."""

    async def work(loop: Loop) -> tuple[float, float]:
        began = time.monotonic()
        await asyncio.sleep(28 * 86_400)
        return time.monotonic() - began, time.time()

    passed, now = run(work, seed="1")
    assert passed == pytest.approx(28 * 86_400)
    assert now == pytest.approx(EPOCH_MS / 1000 + 28 * 86_400)


def test_waiting_for_ever_is_an_error() -> None:
    """A wait that would never end raises Deadlock."""

    async def work(loop: Loop) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run(work, seed="1")


def played(work: Any) -> Any:
    async def act(loop: Loop) -> Any:
        server = Server(loop, random.Random(1))
        return await work(server)

    return run(act, seed="models")


def test_dependents_are_garbage_collected() -> None:
    """A Deployment's ReplicaSet and Pods are deleted seconds after it."""

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


def test_a_terminating_namespace_refuses_creations() -> None:
    """A namespace is Terminating first and refuses creations; then its objects are deleted, then the namespace."""

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
    """A list comes in pages; after a compaction, its continue token and a watch from an earlier version get 410."""

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


def test_a_watch_resumes_from_a_version() -> None:
    """It gets all events since the list, deletions included; a Pod that has ended is DELETED for a watch of running
    Pods.
    """

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


def test_garbage_collection_is_by_uid() -> None:
    """A Pod of a ReplicaSet that was created again under its name survives the deletion of the old one."""

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


def test_existence_can_be_read() -> None:
    """The operator's ExistenceClient learns which objects exist, the time of their last change, which are gone, and
    which are refused.
    """

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
        server.faults.append(Fault(CONFIGMAP.path, "403", 0, 1_000))
        asked: list[Subject | PolicyName] = [Subject("", "Pod", "shop", f"p{number}") for number in range(3)]
        asked += [Subject("", "Service", "shop", "s"), Subject("", "Service", "shop", "t")]
        asked += [Subject("", "ConfigMap", "shop", "c"), Subject("apps", "Deployment", "never", "d")]
        asked += [PolicyName("kyverno", "kept"), PolicyName("kyverno", "lost")]
        more = [Subject("", "Pod", "shop", f"p{number}") for number in range(3, 80)]

        def answers_so_far() -> list[Answer]:
            found = [
                existence.policy(it.source, it.policy, since=SteadyMs(0))
                if isinstance(it, PolicyName)
                else existence.subject(it, since=SteadyMs(0))
                for it in [*asked, *more]
            ]
            return [answer for answer in found if answer is not None]

        while len(answers := answers_so_far()) < len(asked) + len(more):  # noqa: ASYNC110  (virtual time)
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


def test_reads_of_the_hub_lag_and_old_findings_expire() -> None:
    """A read shows an earlier state; active findings expire after 90 days."""

    async def work(server: Server) -> tuple[int, int, int]:
        hub = Hub(server.loop, random.Random(1))
        hub.faults.append(HubFault("lag", 0, 100, 60))
        now = stamp(server.loop.wall_ms)
        body = {"Id": "x", "CreatedAt": now, "UpdatedAt": now, "RecordState": "ACTIVE", "Title": "t"}
        await hub.take([body | {"FindingProviderFields": {"Severity": {"Label": "LOW"}}}])
        late = len(await hub.read({}))
        await asyncio.sleep(90)
        then = len(await hub.read({}))
        await asyncio.sleep(91 * 86_400)
        return late, then, len(await hub.read({}))

    assert played(work) == (0, 1, 0)
