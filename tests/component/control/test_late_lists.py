"""The list of MonitoredClusters is requested beside the event stream and may arrive late: no object goes back to an
older state.
"""

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.clock import SteadyMs, WallMs
from policyhub.control.hub_registry import Hubs
from policyhub.control.reporter import Watched
from policyhub.control.supervisor import Supervisor
from policyhub.eks.connector import EksClusters
from policyhub.kube.connection import Connection, Unreachable
from policyhub.metrics.definitions import Metrics
from policyhub.settings import Settings
from tests.component.control.test_supervisor import listing

ROUNDS = 12
"""Turns of the event loop after which every task that can proceed has done so."""


class Server:
    """The home cluster's API: objects by name, events in order for each uid, and answers that the test releases."""

    def __init__(self, *, opaque: bool = False) -> None:
        self.opaque = opaque
        self.version = 100
        self.objects: dict[str, dict[str, Any]] = {}
        self.events: defaultdict[str, deque[tuple[str, dict[str, Any]]]] = defaultdict(deque)
        self.open: list[tuple[asyncio.Event, asyncio.Event]] = []
        """Futures of each pending request: one releases the read, one the answer."""
        self.instant = True
        self.down = False

    def put(self, name: str, *, shard: str = "a") -> dict[str, Any]:
        """Create or change it; the spec contains the version, which a running data plane thus has too."""
        self.version += 1
        uid = self.objects[name]["metadata"]["uid"] if name in self.objects else f"uid-{self.version}"
        kind = "MODIFIED" if name in self.objects else "ADDED"
        written = f"{self.version * 7919 % 9973:x}-" if self.opaque else str(self.version)
        self.objects[name] = {
            "metadata": {"name": name, "uid": uid, "resourceVersion": written, "labels": {"shard": shard}},
            "spec": {"connection": {"inCluster": {}}, "archiveDelay": f"{self.version}s"},
        }
        self.events[uid].append((kind, self.objects[name]))
        return self.objects[name]

    def delete(self, name: str) -> None:
        self.version += 1
        body = self.objects.pop(name)
        self.events[body["metadata"]["uid"]].append(("DELETED", body))

    async def get(self, _: str, params: Mapping[str, str] | None = None, *, limit: int = 0) -> bytes:
        if not self.instant:
            read, answered = gates = asyncio.Event(), asyncio.Event()
            self.open.append(gates)
            await read.wait()
            body = listing(list(self.objects.values()), params)
            await answered.wait()
            return body
        if self.down:
            raise Unreachable("down")
        return listing(list(self.objects.values()), params)


class Logging(Supervisor):
    """Records which data planes would be started."""

    log: list[tuple[str, str, int]]

    def _start(self, watched: Watched, monitored: MonitoredCluster) -> None:
        version = int(monitored.spec.archive_delay.total_seconds())
        self.log.append((watched.name, watched.uid, version))

    def running(self) -> dict[str, tuple[str, object]]:
        found = {}
        for name, watched in self.watched.items():
            uid, spec, _ = cast("Any", watched.intent)
            found[name] = (uid, spec["archiveDelay"])
        return found


def logging(server: Server) -> Logging:
    supervisor = Logging(
        home=cast("Connection", server),
        hubs=cast("Hubs", None),
        settings=Settings(watch_selector="shard=a"),
        metrics=Metrics(CollectorRegistry()),
        now=lambda: SteadyMs(1_790_000_000_000),
        wall=lambda: WallMs(1_790_000_000_000),
        clock=lambda: 0.0,
        rng=random.Random(1),  # noqa: S311  (jitter)
        open_home=lambda: pytest.fail("nothing is opened here"),
        eks=EksClusters(now=lambda: SteadyMs(1_790_000_000_000)),
    )
    supervisor.log = []
    return supervisor


def selected(server: Server) -> dict[str, tuple[str, object]]:
    return {
        name: (body["metadata"]["uid"], body["spec"]["archiveDelay"])
        for name, body in server.objects.items()
        if body["metadata"]["labels"]["shard"] == "a"
    }


async def settle() -> None:
    for _ in range(ROUNDS):
        await asyncio.sleep(0)


async def tell(supervisor: Supervisor, kind: str, body: Mapping[str, Any]) -> None:
    if kind == "DELETED":
        await supervisor.forget(body["metadata"]["name"], body["metadata"]["uid"])
    else:
        await supervisor.observe(body)


class Play:
    """One supervisor and one server, step by step."""

    def __init__(self, *, opaque: bool = False) -> None:
        self.server = Server(opaque=opaque)
        self.supervisor = logging(self.server)
        self.comparing: asyncio.Task[bool] | None = None
        self.telling: dict[str, asyncio.Task[None]] = {}
        """By uid: kopf delivers one event of a uid at a time."""

    async def tell(self, turn: int) -> None:
        """Deliver one more event."""
        waiting = [uid for uid, pending in self.server.events.items() if pending and not self._busy(uid)]
        if waiting:
            uid = waiting[turn % len(waiting)]
            pending = self.server.events[uid].popleft()
            self.telling[uid] = asyncio.create_task(tell(self.supervisor, *pending))
            await settle()

    def _busy(self, uid: str) -> bool:
        return uid in self.telling and not self.telling[uid].done()

    async def tell_all(self) -> None:
        while any(self.server.events.values()):
            await self.tell(0)

    async def ask(self) -> None:
        """Start a comparison; its list is not read before `read`."""
        if self.comparing is None or self.comparing.done():
            self.server.instant = False
            self.comparing = asyncio.create_task(self.supervisor._compare())
            await settle()

    async def read(self) -> None:
        for read, _ in self.server.open:
            read.set()
        await settle()

    async def answer(self) -> None:
        for _, answered in [gates for gates in self.server.open if gates[0].is_set()]:
            answered.set()
        self.server.open = [gates for gates in self.server.open if not gates[1].is_set()]
        await settle()

    async def finish(self) -> None:
        """Complete all pending requests."""
        self.server.instant = True
        tasks = [*self.telling.values(), *([self.comparing] if self.comparing else [])]
        while not all(task.done() for task in tasks):
            await self.read()
            await self.answer()
        for task in tasks:
            task.result()


async def started(*, opaque: bool = False) -> Play:
    play = Play(opaque=opaque)
    play.server.put("alpha")
    await play.tell_all()
    return play


OPAQUE = pytest.mark.parametrize("opaque", [False, True], ids=["numbers", "opaque"])


@OPAQUE
async def test_an_older_spec_is_not_used(*, opaque: bool) -> None:
    """A list from before a change arrives after it: the change stays in effect."""
    play = await started(opaque=opaque)
    await play.ask()
    await play.read()
    play.server.put("alpha")
    await play.tell_all()
    await play.answer()
    await play.finish()
    assert play.supervisor.running() == selected(play.server)
    assert [version for *_, version in play.supervisor.log] == [101, 102]


@OPAQUE
async def test_a_deleted_object_is_not_started(*, opaque: bool) -> None:
    """A list from before a deletion arrives after it."""
    play = await started(opaque=opaque)
    await play.ask()
    await play.read()
    play.server.delete("alpha")
    await play.tell_all()
    await play.answer()
    await play.finish()
    assert not play.supervisor.watched
    assert len(play.supervisor.log) == 1


@OPAQUE
async def test_a_former_object_does_not_replace_its_namesake(*, opaque: bool) -> None:
    """Deleted and created again during the list, and the deletion event was lost."""
    play = await started(opaque=opaque)
    await play.ask()
    await play.read()
    play.server.delete("alpha")
    play.server.events.clear()
    play.server.put("alpha")
    await play.tell_all()
    await play.answer()
    await play.finish()
    assert play.supervisor.running() == selected(play.server)
    assert [version for *_, version in play.supervisor.log] == [101, 103]


@OPAQUE
async def test_a_released_object_is_not_taken_back(*, opaque: bool) -> None:
    """Its label moved to another operator during the list: otherwise two operators would send for it."""
    play = await started(opaque=opaque)
    await play.ask()
    await play.read()
    play.server.put("alpha", shard="b")
    await play.tell_all()
    await play.answer()
    await play.finish()
    assert not play.supervisor.watched
    assert len(play.supervisor.log) == 1


@OPAQUE
async def test_an_object_created_during_the_list_stays(*, opaque: bool) -> None:
    """The list lacks it, which is no evidence of its deletion."""
    play = await started(opaque=opaque)
    await play.ask()
    await play.read()
    play.server.put("beta")
    await play.tell_all()
    await play.answer()
    await play.finish()
    assert play.supervisor.running() == selected(play.server)
    assert [name for name, *_ in play.supervisor.log] == ["alpha", "beta"]


@OPAQUE
async def test_a_missed_deletion_is_found(*, opaque: bool) -> None:
    """Kopf's watch does not report deletions that happened while it was down; the comparison does."""
    play = await started(opaque=opaque)
    play.server.delete("alpha")
    await play.supervisor._compare()
    assert not play.supervisor.watched


@OPAQUE
async def test_a_restored_etcd_is_accepted(*, opaque: bool) -> None:
    """After a restore from a backup, versions are lower and a deleted object is back with its uid: after a second read,
    the API server's state is used.
    """
    play = await started(opaque=opaque)
    play.server.put("beta")
    backup, version = dict(play.server.objects), play.server.version
    play.server.put("alpha")
    play.server.delete("beta")
    play.server.put("gamma")
    await play.tell_all()
    play.server.objects, play.server.version = backup, version
    await play.supervisor._compare()
    assert play.supervisor.running() == selected(play.server)


async def test_an_unreachable_api_server_stops_nothing() -> None:
    """If an object cannot be read again, its data plane continues, and the next comparison tries again."""
    play = await started()
    play.server.delete("alpha")
    await play.ask()
    await play.read()
    play.server.instant, play.server.down = True, True
    await play.answer()
    await play.finish()
    assert list(play.supervisor.watched) == ["alpha"]
    play.server.down = False
    assert await play.supervisor.confirm()
    assert not play.supervisor.watched


async def test_a_failed_read_is_reported() -> None:
    """The list is read, but a missing object cannot be: the caller must not take the state for confirmed."""
    play = await started()
    play.server.delete("alpha")
    named = play.supervisor._objects.get

    async def away(name: str) -> list[Any]:
        raise Unreachable(f"{name}: connection reset")

    play.supervisor._objects.get = away  # type: ignore[method-assign]  # the list comes by another call
    assert not await play.supervisor.confirm()
    assert list(play.supervisor.watched) == ["alpha"]
    play.supervisor._objects.get = named  # type: ignore[method-assign]  # as above
    assert await play.supervisor.confirm()
    assert not play.supervisor.watched


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["put", "hand over", "delete"]), st.sampled_from(["alpha", "beta"])),
        st.tuples(st.sampled_from(["ask", "read", "answer", "tell", "lose"]), st.integers(0, 3).map(str)),
    ),
    max_size=40,
)


async def _step(play: Play, action: str, argument: str) -> None:
    server = play.server
    match action:
        case "put":
            server.put(argument)
        case "hand over":
            server.put(argument, shard="b")
        case "delete" if argument in server.objects:
            server.delete(argument)
        case "ask":
            await play.ask()
        case "read":
            await play.read()
        case "answer":
            await play.answer()
        case "tell":
            await play.tell(int(argument))
        case "lose":  # the watch was down and resumes with the existing objects
            server.events.clear()
            for body in server.objects.values():
                server.events[body["metadata"]["uid"]].append(("ADDED", body))


async def _play(steps: list[tuple[str, str]], *, opaque: bool) -> None:
    play = Play(opaque=opaque)
    for action, argument in steps:
        await _step(play, action, argument)
    await play.finish()
    await play.tell_all()
    await play.finish()
    await play.supervisor._compare()
    assert play.supervisor.running() == selected(play.server)
    for name in ("alpha", "beta"):
        versions = [version for started, _, version in play.supervisor.log if started == name]
        assert versions == sorted(set(versions)), "an older state, or one twice, was put to work"


@OPAQUE
@given(steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_no_order_of_events_goes_back(*, opaque: bool, steps: list[tuple[str, str]]) -> None:
    """With events of different objects in any order, and late lists and reads, no older state is ever used, and in the
    end exactly the existing objects are active.
    """
    asyncio.run(_play(steps, opaque=opaque))
