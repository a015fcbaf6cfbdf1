"""The supervisor: MonitoredClusters that come, change and go, in whatever order their events arrive."""

import asyncio
import random
from typing import Any, cast

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.handlers import Supervisor
from policyhub.hubs import Hubs
from policyhub.kube.connection import Connection, Refused
from policyhub.metrics import Metrics
from policyhub.reporter import Watched
from policyhub.settings import Settings


class Home:
    """The home cluster's API, as far as it is asked: the list of MonitoredClusters and the writes of their status."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.patched: list[tuple[str, dict[str, Any]]] = []
        self.posted: list[dict[str, Any]] = []
        self.refuse: Refused | None = None

    async def get(self, _: str) -> bytes:
        await asyncio.sleep(0)
        return msgspec.json.encode({"items": self.items})

    async def patch(self, path: str, body: dict[str, Any]) -> bytes:
        if self.refuse is not None:
            raise self.refuse
        self.patched.append((path, body))
        return b"{}"

    async def post(self, _: str, body: dict[str, Any]) -> bytes:
        self.posted.append(body)
        return b"{}"


class Recording(Supervisor):
    """Starts a task that only waits in place of each data plane; a stop takes a moment, as a real one does."""

    def _start(self, watched: Watched, monitored: MonitoredCluster) -> None:
        watched.task = asyncio.create_task(self._wait(f"{monitored.metadata.name}#{watched.uid}"))

    async def _wait(self, name: str) -> None:
        RUNNING.append(name)
        try:
            await asyncio.sleep(3600)
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            RUNNING.remove(name)


RUNNING: list[str] = []


def supervisor(home: Home, kind: type[Supervisor] = Recording, *, select: str | None = None) -> Supervisor:
    RUNNING.clear()
    return kind(
        home=cast("Connection", home),
        hubs=cast("Hubs", None),
        settings=Settings(watch_selector=select),
        metrics=Metrics(CollectorRegistry()),
        now=lambda: 1_790_000_000_000,
        wall=lambda: 1_790_000_000_000,
        clock=lambda: 0.0,
        rng=random.Random(1),  # noqa: S311  (jitter)
        open_home=lambda: pytest.fail("nothing is opened here"),
    )


def body(name: str = "alpha", *, uid: str = "1", generation: int = 1, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": uid, "generation": generation},
        "spec": {"connection": {"inCluster": {}}, **spec},
    }


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("first", ["deleted", "added"])
async def test_recreated_object_is_watched_once(first: str) -> None:
    """Deleted and created again under its name, in either order and at once: the new one is watched, exactly once."""
    watcher = supervisor(Home())
    await watcher.observe(body(uid="1"))
    events = [watcher.forget("alpha", "1"), watcher.observe(body(uid="2"))]
    await asyncio.gather(*(events if first == "deleted" else reversed(events)))
    await settle()
    assert RUNNING == ["alpha#2"]
    assert watcher.watched["alpha"].uid == "2"
    await watcher.close()
    assert not RUNNING


async def test_late_deletion_of_a_former_object_changes_nothing() -> None:
    """A deletion that is told after the name was taken anew belongs to the former object."""
    watcher = supervisor(Home())
    await watcher.observe(body(uid="2"))
    await watcher.forget("alpha", "1")
    await settle()
    assert RUNNING == ["alpha#2"]
    await watcher.close()


async def test_status_writes_start_nothing_anew() -> None:
    """Only another spec, uid or adoption starts the work anew; labels, status and generation do not."""
    watcher = supervisor(Home())
    await watcher.observe(body())
    task = watcher.watched["alpha"].task
    changed = body(generation=2)
    changed["metadata"]["labels"] = {"team": "a"}
    changed["status"] = {"observedGeneration": 1}
    await watcher.observe(changed)
    assert watcher.watched["alpha"].task is task
    assert watcher.watched["alpha"].generation == 2
    await watcher.observe(body(mode="DryRun"))
    await settle()
    assert watcher.watched["alpha"].task is not task
    assert RUNNING == ["alpha#1"]
    await watcher.close()


def labelled(shard: str, **given: Any) -> dict[str, Any]:
    document = body(**given)
    document["metadata"]["labels"] = {"shard": shard}
    return document


async def test_only_what_the_selector_names_is_watched() -> None:
    """Of MonitoredClusters with other labels none is watched, and none is written to, whoever tells of them."""
    home = Home()
    watcher = supervisor(home, select="shard=a")
    home.items = [labelled("a", name="ours"), labelled("b", name="theirs"), body("nobodys")]
    for document in home.items:
        await watcher.observe(document)
    await settle()
    assert RUNNING == ["ours#1"]
    assert list(watcher.watched) == ["ours"]
    await watcher.close()


async def test_a_label_hands_a_cluster_over() -> None:
    """When its label goes, a MonitoredCluster is given up; when it comes back, it is watched again."""
    watcher = supervisor(Home(), select="shard=a")
    await watcher.observe(labelled("a"))
    await settle()
    await watcher.observe(labelled("b"))
    await settle()
    assert not RUNNING
    assert not watcher.watched
    await watcher.observe(labelled("a"))
    await settle()
    assert RUNNING == ["alpha#1"]
    await watcher.close()


async def test_invalid_object_says_so_and_stops_no_other() -> None:
    """A spec that cannot be used ends in a condition that names the field; other clusters run."""
    home = Home()
    watcher = supervisor(home)
    bad = body("broken", uid="9")
    bad["spec"]["archiveDelay"] = "soon"
    await watcher.observe(bad)
    await watcher.observe(body())
    await settle()
    assert RUNNING == ["alpha#1"]
    reporting = asyncio.create_task(watcher.report())
    await settle()
    reporting.cancel()
    (condition,) = dict(home.patched)["/apis/policyhub.dev/v1alpha1/monitoredclusters/broken/status"]["status"][
        "conditions"
    ]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Ready", "False", "InvalidSpec")
    assert "archiveDelay" in condition["message"]
    await watcher.close()


async def test_status_of_what_is_gone_ends_nothing() -> None:
    """A status that cannot be written, for an object that was just deleted, stops neither the loop nor the others."""
    home = Home()
    watcher = supervisor(home)
    await watcher.observe(body())
    home.refuse = Refused(404, "NotFound", "gone")
    reporting = asyncio.create_task(watcher.report())
    await settle()
    await watcher.forget("alpha", "1")
    await settle()
    assert not reporting.done()
    reporting.cancel()
