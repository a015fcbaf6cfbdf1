"""A deleted MonitoredCluster on its way: what keeps it, what lets it go, and what is written where others write too."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.api.reason import Cause, Reason
from policyhub.api.status import Hub, Status
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.archiving import LAG_MS, Sent, Writer
from policyhub.control import deletion, finalizer
from policyhub.control.deletion import Deletion
from policyhub.control.events import EventType
from policyhub.control.finalization import RETRY_MS, Finalization, deletion_intent, sent_by
from policyhub.control.finalizer import FINALIZER
from policyhub.control.reporter import Watched
from policyhub.findings.asff import timestamp
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.metrics.definitions import Metrics
from policyhub.retire.target import target
from policyhub.securityhub.client import HubClient, ImportResult
from policyhub.securityhub.errors import AccessLost
from policyhub.settings import Settings
from policyhub.sync.acknowledged import Acknowledged
from policyhub.sync.entry import ObservedFinding
from tests.unit.hub.test_hub_retirement import UID, WRITTEN, finding
from tests.unit.hub.test_hub_retirement import Hub as Findings
from tests.unit.retire.commands import parsed_command

NOW = WallMs(int(WRITTEN) + 600_000)
PLACE = Hub(account_id="111122223333", region="eu-west-1")


def deleted(name: str = "prod", *, at: int = 300_000, **spec: Any) -> dict[str, Any]:
    """So many milliseconds ago."""
    return {
        "metadata": {
            "name": name,
            "uid": f"object-{name}",
            "resourceVersion": "7",
            "deletionTimestamp": timestamp(NOW - at),
            "finalizers": ["example.com/other", FINALIZER],
        },
        "spec": {"connection": {"inCluster": {}}, "deletionPolicy": "Archive", **spec},
    }


class Home:
    """The home cluster's MonitoredClusters; a patch is refused while `conflicts` says so, and counts one of them."""

    def __init__(self, *items: dict[str, Any]) -> None:
        self.items = list(items)
        self.patched: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.trouble: list[Exception] = []

    async def get(self, _: str, params: Mapping[str, str] | None = None, *, limit: int = 0) -> bytes:
        asked = (params or {}).get("fieldSelector", "")
        items = [item for item in self.items if asked in {"", f"metadata.name={item['metadata']['name']}"}]
        return msgspec.json.encode({"items": items})

    async def patch(self, _: str, body: dict[str, Any]) -> bytes:
        if self.trouble:
            raise self.trouble.pop(0)
        self.patched.append(body["metadata"])
        return b"{}"


class Account(Findings):
    """The hub's client: the findings, and whose credentials they are asked with."""

    account, region = PLACE.account_id, PLACE.region
    refuse: Exception | None = None
    on_import: Callable[[], None] | None = None
    """Called before each import is taken."""

    def __init__(self, *bodies: dict[str, Any]) -> None:
        super().__init__(*bodies)
        self.archiving = asyncio.Semaphore(1)

    async def import_findings(self, findings: Sequence[Any]) -> ImportResult:
        if self.on_import is not None:
            self.on_import()
        return await super().import_findings(findings)

    async def verify_account(self) -> None:
        if self.refuse is not None:
            raise self.refuse


class Ledger:
    """As far as it is asked."""

    cluster_uid = UID

    def __init__(self, *flying: str) -> None:
        self.agenda = self
        self.in_flight = dict.fromkeys(flying)


class Follower:
    """A ledger of the same cluster that begins while the other is archived."""

    cluster_uid = UID

    def __init__(self) -> None:
        self.announced: dict[str, ObservedFinding | None] = {}

    def note_other_import(self, id_: str, known: ObservedFinding | None, *, now: SteadyMs) -> None:
        self.announced[id_] = known


class Stage:
    def __init__(self, home: Home, hub: Account, *, uid: str | None = UID, sent: Sent | None = None) -> None:
        self.home, self.hub = home, hub
        self.wall = NOW
        self.acknowledged = Acknowledged()
        self.events: list[tuple[str, str]] = []
        self.sent = sent or Sent(ledger=cast("Any", Ledger()), sure=True) if uid else Sent(ledger=None, sure=False)
        self.watched = Watched(name="prod", uid="object-prod", intent=None, generation=1, conditions={})
        self.watched.recorded = Status(identity="prod", cluster_uid=uid, hub=PLACE)
        self.deletion = Deletion(
            watched=self.watched,
            body=home.items[0],
            home=cast("Connection", home),
            settings=Settings(),
            metrics=Metrics(CollectorRegistry()),
            announce=self.announce,
            now=lambda: SteadyMs(int(self.wall)),
            wall=lambda: self.wall,
            rng=random.Random(1),  # noqa: S311  (jitter)
        )

    async def announce(self, watched: Watched, type_: EventType, *, reason: str, message: str) -> None:
        assert watched is self.watched
        assert type_ == ("Warning" if reason == "RetireFailed" else "Normal")
        self.events.append((reason, message))

    def begin(self) -> asyncio.Task[None]:
        work = self.deletion.archive(cast("HubClient", self.hub), self.acknowledged, self.sent)
        return asyncio.create_task(work)

    @property
    def state(self) -> str:
        return self.watched.fault.reason if self.watched.fault is not None else ""

    @property
    def remove_finalizer(self) -> bool:
        return [made["finalizers"] for made in self.home.patched] == [["example.com/other"]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait between attempts."""
    monkeypatch.setattr(deletion, "REREAD_SECONDS", 0.0)
    monkeypatch.setattr(deletion, "RETRY_SECONDS", (0.0, 0.0))


async def settle(*, turns: int = 200) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


async def test_it_is_archived_and_let_go() -> None:
    """Nobody else's finalizer is touched, and the object that was read is the one that is written."""
    stage = Stage(Home(deleted()), Account(finding(1), finding(2), finding(3, uid="other")))
    await stage.begin()
    assert stage.hub.active() == {finding(3)["Id"]}
    assert stage.home.patched == [{"uid": "object-prod", "resourceVersion": "7", "finalizers": ["example.com/other"]}]
    assert [reason for reason, _ in stage.events] == ["Retiring", "Retired"]
    assert "2 findings of prod" in stage.events[-1][1]


@pytest.mark.parametrize("refusal", [AccessLost(Reason.ACCESS_DENIED, "needs it", code="AccessDenied")], ids=["denied"])
async def test_a_problem_blocks_the_deletion(refusal: Exception) -> None:
    """The status says what is missing and how to give up, once, however often it is retried; after the fix it continues
    without a restart.
    """
    stage = Stage(Home(deleted()), Account(finding(1)))
    stage.hub.refuse = refusal
    task = stage.begin()
    await settle()
    assert stage.state == "RetireFailed"
    assert [reason for reason, _ in stage.events] == ["Retiring", "RetireFailed"]
    assert "needs it" in stage.events[-1][1]
    assert '"deletionPolicy":"Retain"' in stage.events[-1][1]
    assert not stage.home.patched
    stage.hub.refuse = None
    await task
    assert stage.remove_finalizer


async def test_an_error_of_the_operator_blocks_the_deletion() -> None:
    """It is reported and retried."""
    stage = Stage(Home(deleted()), Account(finding(1)))
    stage.hub.refuse = ZeroDivisionError("nobody expected it")
    task = stage.begin()
    await settle(turns=3)  # each attempt logs a traceback, which takes a second
    assert stage.state == "RetireFailed"
    assert not stage.home.patched
    stage.hub.refuse = None
    await task


async def test_each_event_is_created_once() -> None:
    """While the finalizer cannot be removed, each attempt has the same result, no Event is repeated, and none says that
    findings are still active.
    """
    stage = Stage(Home(deleted()), Account(finding(1)))
    stage.home.trouble = [Refused(403, "Forbidden", "monitoredclusters is forbidden")] * 4
    await stage.begin()
    assert not stage.home.trouble
    assert stage.hub.active() == set()
    assert len({message for _, message in stage.events}) == len(stage.events)
    (trouble,) = [message for reason, message in stage.events if reason == "RetireFailed"]
    assert "rbac.finalizers" in trouble
    assert "not all of its findings" not in trouble


@pytest.mark.parametrize("ago", [0, 300_000], ids=["just deleted", "deleted long ago"])
async def test_imports_of_another_process_are_awaited(ago: int) -> None:
    """A process that did not work on it reads again a minute after its start: the former one may have overlooked the
    deletion, and sent a finding that was not readable yet.
    """
    stage = Stage(Home(deleted(at=ago)), Account(finding(1)), sent=Sent(ledger=None, sure=False))
    task = stage.begin()
    await settle()
    assert stage.state == "Retiring"
    assert not stage.home.patched
    stage.hub.stored[finding(2)["Id"]] = finding(2)
    stage.wall = NOW + LAG_MS
    await task
    assert stage.hub.active() == set()


async def test_a_new_owner_of_the_identity_ends_it() -> None:
    """If a MonitoredCluster of the same identity is created during the archiving, the remaining findings are its own,
    and it learns of those archived before.
    """
    home = Home(deleted())
    stage = Stage(home, Account(*map(finding, range(2_500))))
    follower = Follower()
    stage.acknowledged.follow(follower)
    twin = {"metadata": {"name": "prod-2", "uid": "2"}, "spec": {"connection": {"inCluster": {}}, "clusterArn": "prod"}}

    def created() -> None:
        if twin not in home.items:
            home.items.append(twin)

    stage.hub.on_import = created
    await stage.begin()
    assert stage.remove_finalizer
    assert 0 < len(stage.hub.sent) < 2_500
    assert f"only {len(stage.hub.sent):,} findings archived, because MonitoredCluster prod-2" in stage.events[-1][1]
    assert len(follower.announced) == len(stage.hub.sent)


async def test_an_unanswered_archive_is_uncertain() -> None:
    """The next operator of the cluster reads the findings that may have been archived."""
    stage = Stage(Home(deleted()), Account(finding(1), finding(2)))
    follower = Follower()
    stage.acknowledged.follow(follower)

    def cancelled() -> None:
        raise asyncio.CancelledError

    stage.hub.on_import = cancelled
    with pytest.raises(asyncio.CancelledError):
        await stage.begin()
    assert follower.announced == {finding(1)["Id"]: None, finding(2)["Id"]: None}


async def test_adopted_findings_are_archived() -> None:
    """Findings of the former uid belong to this cluster after adoption; others are reported, and stay."""
    body = deleted()
    body["metadata"]["annotations"] = {"policyhub.dev/adopt-uid": "former"}
    hub = Account(finding(1), finding(2, uid="former"), finding(3, uid="other"))
    stage = Stage(Home(body), hub)
    await stage.begin()
    assert stage.hub.active() == {finding(3)["Id"]}
    assert "uid is in 1 active finding of this identity: policyhub retire prod" in stage.events[-1][1]


async def test_the_former_uid_in_the_status_goes_too() -> None:
    """The cluster was rebuilt, and its former findings keep it from sending: they are this MonitoredCluster's own."""
    ledger = Ledger()
    ledger.cluster_uid = "new"
    hub = Account(finding(1), finding(2), finding(3, uid="other"))
    stage = Stage(Home(deleted()), hub, sent=Sent(cast("Any", ledger), sure=True))
    await stage.begin()
    assert stage.hub.active() == {finding(3)["Id"]}


CLUSTER = "arn:aws:eks:eu-west-1:111122223333:cluster/prod"


@pytest.mark.parametrize("known", [True, False], ids=["another uid's are left", "the uid was never known"])
async def test_the_command_for_what_is_left_works_without_the_object(*, known: bool) -> None:
    """The object is gone when somebody runs it: it names the identity, not the object, and the hub."""
    hub = Account(finding(3, identity=CLUSTER, uid="other"))
    stage = Stage(Home(deleted(clusterArn=CLUSTER)), hub, uid=UID if known else None)
    if not known:
        stage.watched.recorded = stage.watched.recorded.model_copy(update={"cluster_uid": None})
    await stage.begin()
    expected = f"policyhub retire {CLUSTER} --account-id {hub.account} --region {hub.region}"
    assert f" {expected} counts them" in stage.events[-1][1]
    found = target(parsed_command(expected), (), settings=Settings())
    assert (found.identity, found.hub.place) == (CLUSTER, (hub.account, hub.region))


async def test_a_call_in_flight_is_awaited() -> None:
    """The deletion is not finished while an import of its last data plane has no answer."""
    ledger = Ledger("one")
    stage = Stage(Home(deleted(at=0)), Account(finding(1)), sent=Sent(cast("Any", ledger), sure=True))
    task = stage.begin()
    await settle()
    assert not stage.home.patched
    stage.hub.stored[finding(2)["Id"]] = finding(2)
    ledger.in_flight.clear()
    await task
    assert stage.hub.active() == set()


async def test_confirmed_imports_are_awaited() -> None:
    """A finding that Security Hub has accepted but does not return yet is archived once it is readable; the next owner
    of the cluster learns of the archives.
    """
    stage = Stage(Home(deleted(at=0)), Account(finding(1)), sent=Sent(cast("Any", Ledger()), sure=True))
    known = ObservedFinding(digest="d", created_at=WRITTEN, updated_at=WRITTEN, archived=False)
    stage.acknowledged.note(cast("Any", Writer(UID)), finding(2)["Id"], known, SteadyMs(int(NOW)))
    task = stage.begin()
    await settle()
    assert stage.state == "Retiring"
    assert not stage.home.patched
    stage.hub.stored[finding(2)["Id"]] = finding(2)
    await task
    assert stage.hub.active() == set()
    announced = stage.acknowledged.recent(UID, finding(2)["Id"], SteadyMs(int(NOW)))
    assert announced is not None
    assert announced.archived


def conflicting(status: str = "True", reason: str = "OtherCluster") -> dict[str, Any]:
    """The status member of a MonitoredCluster with the condition IdentityConflict."""
    condition = {
        "type": "IdentityConflict",
        "status": status,
        "reason": reason,
        "message": "m",
        "lastTransitionTime": timestamp(NOW),
    }
    return {"conditions": [condition]}


ADOPTS = {"annotations": {"policyhub.dev/adopt-uid": UID}}

TWINS = [
    pytest.param({}, {}, 1, id="its uid is not known"),
    pytest.param({"clusterUid": UID}, {}, 1, id="the same cluster"),
    pytest.param({"clusterUid": "other"}, {}, 0, id="another cluster"),
    pytest.param({"clusterUid": "other"}, ADOPTS, 1, id="has adopted them"),
    pytest.param({"clusterUid": UID, **conflicting()}, {}, 0, id="was rebuilt, and sends nothing"),
    pytest.param({"clusterUid": UID, **conflicting()}, ADOPTS, 1, id="was rebuilt, and takes them over now"),
    pytest.param(conflicting(), {}, 0, id="its uid is not known, and it sends nothing"),
    pytest.param({"clusterUid": UID, **conflicting("False", "NoConflict")}, {}, 1, id="is in no conflict"),
    pytest.param({"clusterUid": UID, **conflicting("True", "ForeignFindings")}, {}, 1, id="sends in spite of it"),
    pytest.param({"clusterUid": UID}, {"deletionTimestamp": timestamp(NOW)}, 0, id="deleted as well"),
]


@pytest.mark.parametrize(("status", "metadata", "active"), TWINS)
async def test_findings_of_a_twin_stay(status: dict[str, Any], metadata: dict[str, Any], active: int) -> None:
    """If another MonitoredCluster has the identity and hub, the findings belong to it: nothing is archived."""
    arn = "arn:aws:eks:eu-west-1:111122223333:cluster/prod"
    body = deleted(clusterArn=arn)
    twin = {
        "metadata": {"name": "twin", "uid": "object-twin", **metadata},
        "spec": {"clusterArn": arn, "securityHub": {"accountId": PLACE.account_id, "region": PLACE.region}},
        "status": status,
    }
    stage = Stage(Home(body, twin), Account(finding(1, identity=arn)))
    await stage.begin()
    assert len(stage.hub.active()) == active
    assert stage.remove_finalizer


async def test_without_a_uid_nothing_is_archived() -> None:
    """Nothing was written under an unknown uid; existing findings belong to somebody else."""
    stage = Stage(Home(deleted()), Account(finding(1), finding(2, uid="")), uid=None)
    await stage.begin()
    assert len(stage.hub.active()) == 2
    assert stage.remove_finalizer
    assert "nothing was archived" in stage.events[-1][1]


@pytest.mark.parametrize("there", [True, False])
async def test_a_write_conflict_on_the_finalizer(there: bool) -> None:  # noqa: FBT001  (a parameter)
    """A conflict is read again and retried; five in a row are reported."""
    body = deleted()
    body["metadata"] |= {"finalizers": [] if there else [FINALIZER], "deletionTimestamp": None}
    conflict = Refused(409, "Conflict", "changed")
    home = Home(body)
    home.trouble = [conflict, conflict]
    await finalizer.write(cast("Connection", home), "prod", "object-prod", present=there)
    assert [made["finalizers"] for made in home.patched] == [[FINALIZER] if there else []]
    home.trouble = [conflict] * finalizer.ATTEMPTS
    with pytest.raises(Refused):
        await finalizer.write(cast("Connection", home), "prod", "object-prod", present=there)


@pytest.mark.parametrize(
    ("body", "uid", "there"),
    [
        pytest.param(deleted(), "object-prod", True, id="set already"),
        pytest.param(deleted("another"), "object-prod", False, id="gone"),
        pytest.param(deleted(), "another", False, id="another object of the name"),
        pytest.param(
            {**deleted(), "metadata": {**deleted()["metadata"], "finalizers": ["example.com/other"]}},
            "object-prod",
            True,
            id="deleted: none can be added",
        ),
    ],
)
async def test_a_finalizer_that_is_not_written(body: dict[str, Any], uid: str, there: bool) -> None:  # noqa: FBT001
    home = Home(body)
    await finalizer.write(cast("Connection", home), "prod", uid, present=there)
    assert not home.patched


async def test_a_finalizer_of_a_deleted_object() -> None:
    """Nothing is left to do; a silent API server is another case."""
    home = Home(deleted())
    home.trouble = [Refused(404, "NotFound", "gone")]
    await finalizer.write(cast("Connection", home), "prod", "object-prod", present=False)
    home.trouble = [Unreachable("no answer")]
    with pytest.raises(Unreachable):
        await finalizer.write(cast("Connection", home), "prod", "object-prod", present=False)


@pytest.mark.parametrize(
    ("spec", "asked"),
    [
        ({}, False),
        ({"deletionPolicy": "Retain"}, False),
        ({"deletionPolicy": "Archive"}, True),
        ({"deletionPolicy": "Archive", "mode": "Sync"}, True),
        ({"deletionPolicy": "Archive", "mode": "NoArchive"}, False),
        ({"deletionPolicy": "Archive", "mode": "DryRun"}, False),
    ],
)
def test_who_asks_for_it(spec: dict[str, str], asked: bool) -> None:  # noqa: FBT001  (a parameter)
    assert finalizer.is_wanted({"metadata": {}, "spec": spec}) == asked


def test_where_the_findings_are() -> None:
    """Where they were sent, whatever spec and settings say now; otherwise as for the data plane."""
    settings = Settings(account_id="444455556666", region="us-east-1", role_arn="arn:aws:iam::444455556666:role/p")
    monitored = MonitoredCluster.model_validate(deleted())
    found = deletion.recorded_destination(monitored, settings, recorded=PLACE)
    assert found == (PLACE.account_id, PLACE.region, settings.role_arn, "")
    found = deletion.recorded_destination(monitored, settings, recorded=None)
    assert not isinstance(found, Cause)
    assert found[:2] == ("444455556666", "us-east-1")


def test_an_unusable_spec() -> None:
    """The status says so, and how to give up."""
    fault = deletion.parsed(deleted(archiveDelay="soon"))
    assert isinstance(fault, Cause)
    assert fault.reason == "RetireFailed"
    assert '"deletionPolicy":"Retain"' in fault.message


def test_a_corrected_spec_is_read_again() -> None:
    """Otherwise the deletion would hang until the operator restarts."""
    broken = deleted(archiveDelay="soon")
    assert isinstance(deletion.parsed(broken), Cause)
    assert deletion_intent(broken) != deletion_intent(deleted(archiveDelay="1s"))
    assert deletion_intent(broken) == deletion_intent(deleted(archiveDelay="soon"))


def test_nothing_was_sent_without_a_data_plane() -> None:
    assert not sent_by(None).sure
    assert not sent_by(None).flying


def departures(home: Home, events: list[str], clock: list[int]) -> Finalization:
    async def announce(watched: Watched, type_: EventType, *, reason: str, message: str) -> None:
        assert (watched.name, type_, "rbac.finalizers" in message) == ("prod", "Warning", True)
        events.append(reason)

    return Finalization(
        home=cast("Connection", home),
        settings=Settings(),
        metrics=Metrics(CollectorRegistry()),
        announce=announce,
        now=lambda: SteadyMs(clock[0]),
        wall=lambda: NOW,
        rng=random.Random(1),  # noqa: S311  (jitter)
    )


async def test_the_finalizer_is_handed_over() -> None:
    """When another operator takes over a MonitoredCluster, the finalizer of a living one is removed; that of a deleted
    one stays, because nobody could set it again.
    """
    living = deleted()
    del living["metadata"]["deletionTimestamp"]
    for body, patched in ((living, 1), (deleted(), 0)):
        home = Home(body)
        await departures(home, [], [0]).hand_over("prod", "object-prod", body)
        assert len(home.patched) == patched


async def test_a_refused_finalizer_is_retried_after_a_while() -> None:
    """Every written status returns as an event, so it must not be retried and reported each time."""
    body = deleted()
    body["metadata"] |= {"finalizers": []}
    del body["metadata"]["deletionTimestamp"]
    home, events, clock = Home(body), list[str](), [0]
    plane = SimpleNamespace(unlisted=False, restarts=False, claimed_twice="")
    watched = Watched(name="prod", uid="object-prod", intent=None, generation=1, conditions={})
    watched.plane = cast("Any", plane)
    leaving_ = departures(home, events, clock)
    home.trouble = [Refused(403, "Forbidden", "monitoredclusters is forbidden")] * 2
    for _ in range(50):
        await leaving_.finalize(watched, body)
    assert (len(home.trouble), events) == (1, ["FinalizerNotSet"])
    clock[0] += RETRY_MS
    await leaving_.finalize(watched, body)
    assert (len(home.trouble), events) == (0, ["FinalizerNotSet"])
    clock[0] += RETRY_MS
    await leaving_.finalize(watched, body)
    assert [made["finalizers"] for made in home.patched] == [[FINALIZER]]


@pytest.mark.parametrize("there", [True, False])
async def test_an_older_one_changes_no_finalizer(*, there: bool) -> None:
    """It may never send: one that has the finalizer keeps it, so that its deletion looks for a writer."""
    body = deleted()
    del body["metadata"]["deletionTimestamp"]
    body["metadata"] |= {"finalizers": [FINALIZER] if there else []}
    home, events = Home(body), list[str]()
    watched = Watched(name="prod", uid="object-prod", intent=None, generation=1, conditions={})
    watched.plane = cast("Any", SimpleNamespace(unlisted=False, restarts=False, claimed_twice="older"))
    await departures(home, events, [0]).finalize(watched, body)
    assert home.patched == []
