"""The supervisor starts, restarts and stops data planes for MonitoredClusters, whatever the order of events."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import permutations
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from botocore.exceptions import UnknownRegionError
from prometheus_client import CollectorRegistry

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.runner import DataPlane
from policyhub.control.hub_registry import Hubs
from policyhub.control.reporter import Watched
from policyhub.control.routes import Routes
from policyhub.control.supervisor import Supervisor
from policyhub.eks.connector import EksClusters
from policyhub.kube.connection import Connection, Refused
from policyhub.metrics.definitions import Metrics
from policyhub.settings import Settings
from policyhub.sync.predecessor import Predecessor


def listing(items: list[dict[str, Any]], params: Mapping[str, str] | None) -> bytes:
    """The API server's list, limited to one name if requested."""
    asked = (params or {}).get("fieldSelector")
    return msgspec.json.encode(
        {"items": [item for item in items if asked in {None, f"metadata.name={item['metadata']['name']}"}]}
    )


class Home:
    """The parts of the home cluster's API that the supervisor uses: the list of MonitoredClusters and writes of their
    status.
    """

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.raw: bytes | None = None
        """The answer instead of the items."""
        self.patched: list[tuple[str, dict[str, Any]]] = []
        self.posted: list[dict[str, Any]] = []
        self.refuse: Refused | None = None

    async def get(self, _: str, params: Mapping[str, str] | None = None, *, limit: int = 0) -> bytes:
        await asyncio.sleep(0)
        return listing(self.items, params) if self.raw is None else self.raw

    async def patch(self, path: str, body: dict[str, Any]) -> bytes:
        if self.refuse is not None:
            raise self.refuse
        self.patched.append((path, body))
        return b"{}"

    async def post(self, _: str, body: dict[str, Any]) -> bytes:
        self.posted.append(body)
        return b"{}"


class Recording(Supervisor):
    """Starts a waiting task in place of each data plane; stopping takes a moment, as in reality."""

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
ROUTES = cast("Routes", SimpleNamespace(of=lambda _: (None, None, ""), close=lambda: None))
"""To unreachable clusters."""


def supervisor(home: Home, kind: type[Supervisor] = Recording, *, select: str | None = None) -> Supervisor:
    RUNNING.clear()
    return kind(
        home=cast("Connection", home),
        hubs=cast("Hubs", None),
        settings=Settings(watch_selector=select),
        metrics=Metrics(CollectorRegistry()),
        now=lambda: SteadyMs(1_790_000_000_000),
        wall=lambda: WallMs(1_790_000_000_000),
        clock=lambda: 0.0,
        rng=random.Random(1),  # noqa: S311  (jitter)
        open_home=lambda: pytest.fail("nothing is opened here"),
        eks=EksClusters(now=lambda: SteadyMs(1_790_000_000_000)),
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
async def test_a_recreated_object_is_watched_once(first: str) -> None:
    """Deleted and created again under its name, with events in either order: exactly the new one is watched."""
    watcher = supervisor(Home())
    await watcher.observe(body(uid="1"))
    events = [watcher.forget("alpha", "1"), watcher.observe(body(uid="2"))]
    await asyncio.gather(*(events if first == "deleted" else reversed(events)))
    await settle()
    assert RUNNING == ["alpha#2"]
    assert watcher.watched["alpha"].uid == "2"
    await watcher.close()
    assert not RUNNING


async def test_a_late_deletion_event() -> None:
    """A deletion event that arrives after the name was reused belongs to the former object."""
    watcher = supervisor(Home())
    await watcher.observe(body(uid="2"))
    await watcher.forget("alpha", "1")
    await settle()
    assert RUNNING == ["alpha#2"]
    await watcher.close()


async def test_status_writes_restart_nothing() -> None:
    """Only a change of spec, uid or adoption restarts the work; labels, status and generation do not."""
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


async def test_only_selected_objects_are_watched() -> None:
    """MonitoredClusters with other labels are neither watched nor written, whatever the source of the event."""
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
    """When its label is removed, a MonitoredCluster is released; when it returns, it is watched again."""
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


async def test_an_invalid_object_stops_no_other() -> None:
    """An unusable spec results in a condition that names the field; other clusters run."""
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


async def test_a_status_of_a_deleted_object() -> None:
    """A status that cannot be written because its object was just deleted stops neither the loop nor the others."""
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


# -- one identity, several MonitoredClusters ------------------------------------------------------------------------


class Claimed:
    """The part of a data plane that the supervisor reads."""

    older, younger, unlisted, restarts = "", (), True, False

    def claim(self, *, older: str, younger: tuple[str, ...], unlisted: bool, restarts: bool) -> None:
        self.older, self.younger, self.unlisted = older, younger, unlisted  # type: ignore[assignment]  # a stub
        self.restarts = restarts


class Claiming(Supervisor):
    """Data planes that only receive which others claim their identity."""

    def _start(self, watched: Watched, monitored: MonitoredCluster) -> None:
        watched.plane = cast("Any", Claimed())
        watched.claim = ("111122223333", "eu-west-1", monitored.identity)


ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/prod"


def claiming(name: str, created: str, *, uid: str = "", shard: str = "a") -> dict[str, Any]:
    document = labelled(shard, name=name, uid=uid or name, clusterArn=ARN)
    document["metadata"]["creationTimestamp"] = created
    return document


OLD, NEW, NEWER = (claiming(name, f"2026-0{n}-01T00:00:00Z") for n, name in enumerate(("zeta", "mid", "alpha"), 1))


def claims(watcher: Supervisor) -> dict[str, tuple[str, tuple[str, ...]]]:
    planes = {name: cast("Any", watched.plane) for name, watched in watcher.watched.items()}
    return {name: (plane.older, plane.younger) for name, plane in planes.items()}


@pytest.mark.parametrize("order", list(permutations((OLD, NEW, NEWER))), ids=lambda _: "")
async def test_the_oldest_claimant_wins(order: tuple[dict[str, Any], ...]) -> None:
    """By the creation time, not by the name or the order of events or lists."""
    home = Home()
    watcher = supervisor(home, Claiming)
    for document in order:
        await watcher.observe(document)
    assert claims(watcher) == {"zeta": ("", ("mid", "alpha")), "mid": ("zeta", ()), "alpha": ("zeta", ())}
    restarted = supervisor(home, Claiming)
    home.items = list(order)
    await restarted._compare()
    assert claims(restarted) == claims(watcher)


async def test_the_next_oldest_takes_over() -> None:
    """After a deletion, the identity goes to the next one; a recreated object is the youngest."""
    watcher = supervisor(Home(), Claiming)
    for document in (OLD, NEW, NEWER):
        await watcher.observe(document)
    await watcher.forget("zeta", "zeta")
    assert claims(watcher) == {"mid": ("", ("alpha",)), "alpha": ("mid", ())}
    await watcher.observe(claiming("zeta", "2026-09-01T00:00:00Z", uid="another"))
    assert claims(watcher)["mid"] == ("", ("alpha", "zeta"))


async def test_a_changed_spec_keeps_the_claim() -> None:
    """Another mode restarts the data plane of the oldest; it is still the oldest."""
    watcher = supervisor(Home(), Claiming)
    await watcher.observe(OLD)
    await watcher.observe(NEW)
    changed = claiming("zeta", OLD["metadata"]["creationTimestamp"])
    changed["spec"]["mode"] = "NoArchive"
    await watcher.observe(changed)
    assert claims(watcher) == {"zeta": ("", ("mid",)), "mid": ("zeta", ())}


async def test_equal_creation_times_are_decided_by_uid() -> None:
    """In the same way after each restart."""
    watcher = supervisor(Home(), Claiming)
    await watcher.observe(claiming("b", "2026-01-01T00:00:00Z", uid="1"))
    await watcher.observe(claiming("a", "2026-01-01T00:00:00Z", uid="2"))
    assert claims(watcher) == {"b": ("", ("a",)), "a": ("b", ())}


WALL = WallMs(1_790_000_000_000)
HUB = {"accountId": "111122223333", "region": "eu-west-1"}
ELSEWHERE = {"accountId": "111122223333", "region": "us-east-1"}


def changed(document: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Another state of the object: `spec` and `metadata` are merged, other members replaced."""
    merged = {name: {**document[name], **members.pop(name, {})} for name in ("metadata", "spec")}
    return {**document, **merged, **members}


@pytest.mark.parametrize(
    ("theirs", "contradicts"),
    [
        pytest.param({}, True, id="no hub is known: the other operator's settings may name ours"),
        pytest.param({"spec": {"securityHub": HUB}}, True, id="its spec names our hub"),
        pytest.param({"spec": {"securityHub": ELSEWHERE}}, False, id="its spec names another hub"),
        pytest.param({"spec": {"securityHub": {"region": "us-east-1"}}}, False, id="its spec names another Region"),
        pytest.param({"status": {"hub": HUB}}, True, id="its status names our hub"),
        pytest.param({"status": {"hub": ELSEWHERE}}, False, id="its status names another hub"),
        pytest.param({"spec": {"clusterArn": f"{ARN}-2"}}, False, id="another identity"),
        pytest.param({"metadata": {"deletionTimestamp": "2026-03-01T00:00:00Z"}}, False, id="deleted"),
        pytest.param({"metadata": {"labels": {}}}, True, id="no operator selects it"),
    ],
)
@pytest.mark.parametrize("older", [True, False], ids=["theirs is older", "ours is older"])
async def test_one_identity_in_two_shards(theirs: dict[str, Any], *, contradicts: bool, older: bool) -> None:
    """A MonitoredCluster of another operator counts as one of our own: the oldest sends, and both report the other, in
    whatever order they come, and after a restart.
    """
    there = changed(claiming("theirs", f"2026-0{1 if older else 3}-01T00:00:00Z", shard="b"), **theirs)
    ours = claiming("ours", "2026-02-01T00:00:00Z")
    expected = ("theirs", ()) if older else ("", ("theirs",))
    for documents in ((there, ours), (ours, there)):
        home = Home()
        watcher = supervisor(home, Claiming, select="shard=a")
        for document in documents:
            await watcher.observe(document)
        assert claims(watcher) == {"ours": expected if contradicts else ("", ())}
        home.items = list(documents)
        restarted = supervisor(home, Claiming, select="shard=a")
        await restarted._compare()
        assert claims(restarted) == claims(watcher)
        assert list(restarted.watched) == ["ours"]


GOES: dict[str, dict[str, Any]] = {
    "deleted": {"metadata": {"deletionTimestamp": "2026-03-01T00:00:00Z"}},
    "sends to another hub": {"status": {"hub": ELSEWHERE}},
}


@pytest.mark.parametrize("how", [*GOES, "gone by an event", "gone from the list"])
async def test_what_another_shards_leaves_is_taken_over_as_at_a_start(how: str) -> None:
    """This process did not see what the other one sent, so nothing is sent by the data plane that waited: a new one
    starts, whose predecessor was active a moment ago.
    """
    theirs, ours = claiming("theirs", "2026-01-01T00:00:00Z", shard="b"), claiming("ours", "2026-02-01T00:00:00Z")
    home = Home()
    home.items = [theirs, ours]
    watcher = supervisor(home, Claiming, select="shard=a")
    await watcher._compare()
    waited = cast("Any", watcher.watched["ours"].plane)
    assert waited.older == "theirs"
    home.items = [ours]
    if how in GOES:
        await watcher.observe(changed(theirs, **GOES[how]))
    elif how == "gone by an event":
        await watcher.forget("theirs", "another")
        assert waited.older == "theirs"
        await watcher.forget("theirs", "theirs")
    else:
        await watcher._compare()
    if how != "gone from the list":
        assert (waited.older, waited.unlisted, waited.restarts) == ("", False, True)
        await watcher.observe(ours)
    follower = watcher.watched["ours"]
    assert follower.plane is not waited
    assert not cast("Any", follower.plane).restarts
    assert (cast("Any", follower.plane).unlisted, claims(watcher)) == (False, {"ours": ("", ())})
    assert follower.predecessor == Predecessor(started=WALL, renewed=WALL)


def with_condition(document: dict[str, Any], type_: str, reason: str, *, generation: int = 1) -> dict[str, Any]:
    """With a condition that an operator wrote for this generation."""
    condition = {
        "type": type_,
        "status": "False" if type_ == "Ready" else "True",
        "reason": reason,
        "message": "m",
        "lastTransitionTime": "2026-03-01T00:00:00Z",
        "observedGeneration": generation,
    }
    return changed(document, status={"conditions": [condition]})


SENDS_NOTHING: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "DryRun": lambda document: changed(document, spec={"mode": "DryRun"}),
    "InvalidSpec": lambda document: with_condition(document, "Ready", "InvalidSpec"),
}


@pytest.mark.parametrize(("how", "shard"), [("DryRun", "a"), ("DryRun", "b"), ("InvalidSpec", "b")])
async def test_an_older_one_that_sends_nothing_stops_nobody(how: str, shard: str) -> None:
    """Until it may send: then it claims its identity at once."""
    old, ours = claiming("old", "2026-01-01T00:00:00Z", shard=shard), claiming("ours", "2026-02-01T00:00:00Z")
    watcher = supervisor(Home(), Claiming, select="shard=a")
    await watcher._compare()
    await watcher.observe(SENDS_NOTHING[how](old))
    await watcher.observe(ours)
    assert claims(watcher)["ours"] == ("", ())
    if shard == "a":
        assert claims(watcher)["old"] == ("", ())
    await watcher.observe(changed(old, metadata={"generation": 2}))
    assert claims(watcher)["ours"] == ("old", ())
    await watcher.observe(SENDS_NOTHING[how](changed(old, metadata={"generation": 1})))
    await watcher.observe(ours)
    assert claims(watcher)["ours"] == ("", ())


async def test_a_fault_in_the_spec_of_the_oldest_blocks_no_two_others() -> None:
    """Of three: the oldest has an invalid spec, the second and the third belong to different operators."""
    broken = with_condition(claiming("broken", "2026-01-01T00:00:00Z", shard="b"), "Ready", "InvalidSpec")
    broken["spec"]["mode"] = "Nonsense"
    second, third = claiming("second", "2026-02-01T00:00:00Z"), claiming("third", "2026-03-01T00:00:00Z", shard="b")
    home = Home()
    home.items = [broken, second, third]
    watchers = [supervisor(home, Claiming, select=f"shard={shard}") for shard in "ab"]
    for watcher in watchers:
        await watcher._compare()
    assert claims(watchers[0]) == {"second": ("", ("third",))}
    assert cast("Any", watchers[1].watched["third"].plane).older == "second"


async def test_a_preview_names_who_sends() -> None:
    """With mode DryRun it shows an older one, but says of no younger one that it is not sent."""
    watcher = supervisor(Home(), Claiming, select="shard=a")
    await watcher._compare()
    preview = changed(claiming("preview", "2026-02-01T00:00:00Z"), spec={"mode": "DryRun"})
    await watcher.observe(preview)
    await watcher.observe(NEWER)
    assert claims(watcher) == {"preview": ("", ()), "alpha": ("", ())}
    await watcher.observe(OLD)
    assert claims(watcher) == {"preview": ("zeta", ()), "alpha": ("zeta", ()), "zeta": ("", ("alpha",))}


async def test_after_a_preview_it_starts_as_after_a_hand_over() -> None:
    """A younger one may have sent until then; any other change keeps the predecessor."""
    watcher = supervisor(Home(), Claiming)
    await watcher._compare()
    before = watcher.predecessor = Predecessor(started=WallMs(1))
    await watcher.observe(changed(OLD, spec={"mode": "DryRun"}))
    preview = watcher.watched["zeta"]
    preview.predecessor = before
    await watcher.observe(changed(OLD, spec={"mode": "Sync"}))
    follower = watcher.watched["zeta"]
    assert follower is not preview
    assert follower.predecessor == Predecessor(started=WALL, renewed=WALL)
    follower.predecessor = before
    await watcher.observe(changed(OLD, spec={"mode": "NoArchive"}))
    assert watcher.watched["zeta"].predecessor is before


@pytest.mark.parametrize(
    ("type_", "reason", "waited"),
    [
        pytest.param("IdentityConflict", "ClaimedTwice", True, id="an older one sent its findings"),
        pytest.param("IdentityConflict", "OtherCluster", False, id="another conflict"),
        pytest.param("Ready", "DryRun", True, id="it was a preview"),
        pytest.param("Ready", "InvalidSpec", True, id="its spec was invalid"),
        pytest.param("Ready", "AllWell", False, id="it sent itself"),
    ],
)
@pytest.mark.parametrize("at_start", [True, False])
async def test_what_waited_before_a_start_takes_over(type_: str, reason: str, *, waited: bool, at_start: bool) -> None:
    """By its status another MonitoredCluster may have sent its findings until now, although its heartbeat is old."""
    home = Home()
    watcher = supervisor(home, Claiming)
    long_ago = watcher.predecessor = Predecessor(started=WALL, renewed=WallMs(1))
    if not at_start:
        await watcher._compare()
    await watcher.observe(with_condition(OLD, type_, reason))
    other = long_ago if at_start else Predecessor(started=WALL)
    assert watcher.watched["zeta"].predecessor == (Predecessor(started=WALL, renewed=WALL) if waited else other)


async def test_a_label_that_moves_keeps_the_order() -> None:
    """The oldest changes its operator: the younger one never sends meanwhile."""
    theirs, ours = claiming("theirs", "2026-01-01T00:00:00Z", shard="b"), claiming("ours", "2026-02-01T00:00:00Z")
    watcher = supervisor(Home(), Claiming, select="shard=a")
    await watcher._compare()
    for shard in "baba":
        await watcher.observe(changed(theirs, metadata={"labels": {"shard": shard}}))
        await watcher.observe(ours)
        assert claims(watcher)["ours"] == ("theirs", ())
    await watcher.forget("theirs", "theirs")
    await watcher.observe(ours)
    assert claims(watcher) == {"ours": ("", ())}


async def test_nothing_is_sent_before_the_first_list() -> None:
    """The first event may be of a younger one: nobody may send before the first complete list."""
    home = Home()
    watcher = supervisor(home, Claiming)
    await watcher.observe(NEWER)
    assert cast("Any", watcher.watched["alpha"].plane).unlisted
    home.items = [NEWER, OLD]
    await watcher._compare()
    assert not cast("Any", watcher.watched["alpha"].plane).unlisted
    assert claims(watcher) == {"zeta": ("", ("alpha",)), "alpha": ("zeta", ())}


# -- malformed bodies
# ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b'{"spec": {}}', id="no metadata"),
        pytest.param(b'{"metadata": null}', id="metadata is null"),
        pytest.param(b'{"metadata": {"name": 7, "uid": "x"}}', id="a wrong name"),
        pytest.param(b'{"metadata": {"name": "x"}}', id="no uid"),
        pytest.param(b'"text"', id="no object"),
        pytest.param(b"null", id="null"),
    ],
)
async def test_a_malformed_body_stops_no_other(broken: bytes) -> None:
    """The others of a list are used; an incomplete list forgets none."""
    home = Home()
    watcher = supervisor(home)
    await watcher.observe(body("before"))
    home.raw = b'{"items": [%b, %b]}' % (broken, msgspec.json.encode(body()))
    await watcher._compare()
    await settle()
    assert set(watcher.watched) == {"before", "alpha"}
    await watcher.observe(msgspec.json.decode(broken))
    assert set(watcher.watched) == {"before", "alpha"}
    await watcher.close()


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"items": [' + b'{"a":' * 100_000, id="deep"),
        pytest.param(b'{"items": [' + b"[" * 100_000 + b"]" * 100_000 + b"]}", id="deep and complete"),
        pytest.param(b"<html>", id="no JSON"),
        pytest.param(b"{}", id="no list"),
        pytest.param(b'{"items": 1}', id="not a list"),
    ],
)
async def test_an_unreadable_list_stops_nothing(raw: bytes) -> None:
    """It is logged and retried; watched objects stay watched."""
    home = Home()
    home.raw = raw
    watcher = supervisor(home)
    await watcher.observe(body())
    comparing = asyncio.create_task(watcher.compare())
    await settle()
    assert not comparing.done()
    assert list(watcher.watched) == ["alpha"]
    comparing.cancel()
    await watcher.close()


class Clumsy(Recording):
    """Fails for one of them."""

    harmless = False

    def _start(self, watched: Watched, monitored: MonitoredCluster) -> None:
        if watched.name == "bad" and not self.harmless:
            raise RuntimeError("something that nobody expected")
        super()._start(watched, monitored)


async def test_an_error_affects_one_object() -> None:
    """It is in that object's status, stops no other, and is retried at the next comparison."""
    home = Home()
    watcher = supervisor(home, Clumsy)
    home.items = [body("bad"), body()]
    await watcher._compare()
    await settle()
    assert RUNNING == ["alpha#1"]
    fault = watcher.watched["bad"].fault
    assert fault is not None
    assert fault.reason == "NotStarted"
    assert "RuntimeError" in fault.message
    cast("Clumsy", watcher).harmless = True
    await watcher._compare()
    await settle()
    assert sorted(RUNNING) == ["alpha#1", "bad#1"]
    await watcher.close()


# -- hubs -----------------------------------------------------------------------------------------------------------


class Counted:
    """Counts the users of hubs, and opens none."""

    def __init__(self) -> None:
        self.users: Counter[tuple[str, ...]] = Counter()
        self.closed: Counter[tuple[str, ...]] = Counter()
        """How often each was closed."""

    def open(self, key: tuple[str, ...]) -> Any:
        if key[1].startswith("xx-"):
            raise UnknownRegionError(region_name=key[1], error_msg="none")
        self.users[key] += 1
        return SimpleNamespace(), SimpleNamespace(hub_name="hub", trouble=None, read_trouble=None)

    def release(self, key: tuple[str, ...]) -> None:
        self.users[key] -= 1
        assert self.users[key] >= 0
        if not self.users[key]:
            self.closed[key] += 1


async def test_each_hub_is_released_as_often_as_it_was_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over changes, errors and deletions no hub stays open, and one in use is not closed in between."""

    async def wait(_: DataPlane) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(DataPlane, "run", wait)
    hubs = Counted()
    watcher = supervisor(Home(), Supervisor)
    watcher._hubs = cast("Hubs", hubs)
    watcher._routes = ROUTES
    hub = {"accountId": "111122223333", "region": "eu-west-1"}
    for mode in ("Sync", "NoArchive", "DryRun"):
        await watcher.observe(body(mode=mode, securityHub=hub))
    (first,) = hubs.users
    assert hubs.users[first] == 1
    assert not hubs.closed
    for number in range(100):
        role = f"arn:aws:iam::111122223333:role/r{number}"
        await watcher.observe(body(securityHub={**hub, "roleArn": role}))
        assert hubs.users.total() == 1
    await watcher.observe(body(securityHub={"accountId": "111122223333", "region": "xx-west-1"}))
    assert hubs.users.total() == 0
    await watcher.observe(body(securityHub=hub))
    await watcher.observe(body(archiveDelay="soon"))
    assert hubs.users.total() == 0
    await watcher.observe(body(securityHub=hub))
    await watcher.forget("alpha", "1")
    assert hubs.users.total() == 0
    await watcher.observe(body(securityHub=hub))
    await watcher.close()
    assert hubs.users.total() == 0


# -- other operators ------------------------------------------------------------------------------------------------


class Wakeful(Supervisor):
    """Data planes that do nothing."""

    async def _keep(self, _: DataPlane) -> None:
        await asyncio.sleep(3600)


async def test_a_takeover_waits_for_get_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed label hands a MonitoredCluster to a running operator. GetFindings may not yet return the other's
    imports, so backlog waits for the second look-up, as at a start. A MonitoredCluster that this operator has had for
    some minutes does not wait.
    """
    clock = [1_790_000_000_000]
    home = Home()
    watcher = supervisor(home, Wakeful, select="shard=a")
    monkeypatch.setattr(watcher, "_wall", lambda: WallMs(clock[0]))
    watcher._hubs, watcher.predecessor = cast("Any", Counted()), Predecessor(started=WallMs(clock[0]))
    watcher._routes = ROUTES

    def seen(shard: str, *, mode: str = "Sync") -> dict[str, Any]:
        hub = {"accountId": "111122223333", "region": "eu-west-1"}
        found = labelled(shard, mode=mode, securityHub=hub)
        beat = datetime.fromtimestamp(clock[0] / 1000 - 60, UTC).isoformat()
        ready = {"type": "Ready", "status": "True", "reason": "x", "message": "", "lastTransitionTime": beat}
        return found | {"status": {"conditions": [ready], "lastHeartbeatTime": beat}}

    def cautious() -> bool:
        plane = watcher.watched["alpha"].plane
        assert plane is not None
        return plane.site.sent_shortly_before

    home.items = [seen("a")]
    await watcher._compare()
    assert cautious()  # this process has just started
    clock[0] += 3_600_000
    await watcher.observe(seen("a", mode="NoArchive"))
    assert not cautious()  # the status has our own write
    await watcher.observe(seen("b"))
    await watcher.observe(seen("a"))
    assert cautious()
    clock[0] += 60_000
    await watcher.observe(seen("a", mode="NoArchive"))
    assert cautious()
    clock[0] += 3_600_000
    await watcher.observe(seen("a"))
    assert not cautious()
    await watcher.close()
