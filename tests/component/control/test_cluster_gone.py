"""A cluster that EKS no longer has: on which evidence its findings are archived, and which."""

import asyncio
from types import SimpleNamespace
from typing import Any, Self, cast

import pytest
from prometheus_client import CollectorRegistry

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.api.reason import Reason
from policyhub.clock import NEVER, SteadyMs, WallMs
from policyhub.cluster import clearance
from policyhub.cluster.absence import ACCEPTED_AFTER_MS
from policyhub.cluster.archiving import Archiving, Round, Sent
from policyhub.cluster.clearance import Rival
from policyhub.cluster.contact import ClusterReplaced, Stale
from policyhub.cluster.runner import DataPlane
from policyhub.cluster.site import Site
from policyhub.control.deletion import rivals
from policyhub.kube.connection import Connection, Unreachable
from policyhub.kube.errors import NotTried
from policyhub.metrics.definitions import Metrics
from policyhub.securityhub.errors import AccessLost
from policyhub.settings import Settings
from policyhub.sync.acknowledged import Acknowledged
from tests.component.control.test_deletion import NOW, PLACE, Account, Home
from tests.unit.hub.test_hub_retirement import UID, finding

ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/prod"
HOUR = ACCEPTED_AFTER_MS // 60_000
GONE, DENIED, DELETING, ELSEWHERE = "ClusterGone", "AccessDenied", "ClusterDeleting", "ClusterNotFound"
UP = "up"
KNOWN = {"clusterUid": UID, "eksArn": ARN}

Script = list[tuple[int, str]]
"""What is heard, each so many minutes after the one before."""


class Ended(Exception):
    """The script has."""


class Plane(DataPlane):
    """Connects by a script; at work it only waits until its connection is lost."""

    def __init__(
        self, script: Script, hub: Account, *, status: dict[str, Any], eks_arn: str, rival: Rival, **spec: Any
    ) -> None:
        self.script = list(script)
        self.time = int(NOW)
        self.uid = UID
        chosen = {"clusterArn": ARN, "connection": {"eks": {}}, "onClusterGone": "Archive", **spec}
        self.acknowledged = Acknowledged()
        engine = SimpleNamespace(hub_name="hub", wake=lambda: None, acknowledged=self.acknowledged)
        body = {"metadata": {"name": "prod", "uid": "object-prod"}, "spec": chosen, "status": status}
        site = Site(
            monitored=MonitoredCluster.model_validate(body),
            account=PLACE.account_id,
            region=PLACE.region,
            hub=cast("Any", hub),
            engine=cast("Any", engine),
            settings=Settings(),
            metrics=Metrics(CollectorRegistry()),
            now=lambda: SteadyMs(self.time),
            wall=lambda: WallMs(self.time),
            rng=cast("Any", SimpleNamespace(uniform=lambda *_: 0.0)),
        )
        super().__init__(site, connect=self._next, eks_arn=eks_arn, rival=rival)

    async def _next(self) -> Connection:
        await asyncio.sleep(0)
        if not self.script:
            raise Ended
        minutes, heard = self.script.pop(0)
        self.time += minutes * 60_000
        if heard == UP:
            return cast("Connection", SimpleNamespace(cluster_uid=self._uid, close=self._close))
        reason = Reason.known(heard)
        assert reason is not None
        raise Unreachable("no answer") if heard == "Unreachable" else NotTried(reason, f"told {heard}", remedy="r")

    async def _uid(self) -> str:
        return self.uid

    async def _close(self) -> None:
        pass

    async def _work(self, connection: Connection) -> None:
        self._clearance.ledger = cast(
            "Any", SimpleNamespace(agenda=SimpleNamespace(in_flight={}), cluster_uid=self.uid)
        )
        while True:
            await self._contact.reach()


async def played(
    script: Script,
    *findings: dict[str, Any],
    status: dict[str, Any] = KNOWN,
    eks_arn: str = ARN,
    others: tuple[dict[str, Any], ...] = (),
    hub: Account | None = None,
    **spec: Any,
) -> tuple[Plane, set[str]]:
    """The plane after the script, and the ids that are still active."""
    hub = hub or Account(*(findings or mine()))
    own = {"metadata": {"name": "prod", "uid": "object-prod"}, "spec": {"clusterArn": ARN}, "status": KNOWN}
    place = PLACE.account_id, PLACE.region
    rival = rivals(
        cast("Connection", Home(own, *others)), own="object-prod", identity=ARN, hub=place, settings=Settings()
    )
    plane = Plane(script, hub, status=status, eks_arn=eks_arn, rival=rival, **spec)
    with pytest.raises((Ended, ExceptionGroup)):
        await plane.run()
    return plane, hub.active()


def mine(uid: str = UID) -> list[dict[str, Any]]:
    return [finding(number, identity=ARN, uid=uid) for number in range(30)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clearance, "ROUND_SECONDS", 0.0)


LATER = [(2, GONE)] * 3
"""Beyond the time in which GetFindings may lag behind another process."""


@pytest.mark.parametrize(
    ("script", "archived"),
    [
        ([(0, GONE)], False),
        ([(0, GONE), (HOUR - 1, GONE)], False),
        ([(0, GONE), (HOUR, GONE), *LATER], True),
        ([(0, UP), (1, "Unreachable"), (1, GONE), (HOUR, GONE), *LATER], True),
        ([(0, GONE), *[(1, GONE)] * HOUR, *LATER], True),
        ([(0, GONE), (HOUR, DELETING)], False),
        ([(0, DELETING), (HOUR, DELETING), (HOUR, DELETING)], False),
        ([(0, GONE), (HOUR // 2, DENIED), (HOUR // 2, GONE)], False),
        ([(0, DENIED), (HOUR, DENIED), (HOUR, DENIED)], False),
        ([(0, ELSEWHERE), (HOUR, ELSEWHERE), (HOUR, ELSEWHERE)], False),
        ([(0, GONE), (HOUR, ELSEWHERE), (0, GONE)], False),
        ([(0, "Throttled"), (HOUR, "Throttled"), (0, GONE)], False),
        ([(0, "Unreachable"), (HOUR, "Unreachable"), (HOUR, "Unreachable")], False),
        ([(0, GONE), (HOUR // 2, UP), (HOUR, GONE)], False),
        ([(0, GONE), (HOUR // 2, "ClusterCreating"), (HOUR // 2, GONE)], False),
        ([(0, UP), (HOUR, UP)], False),
    ],
    ids=str,
)
async def test_only_an_absence_that_stands_archives(script: Script, *, archived: bool) -> None:
    """EKS must say for an hour, and say nothing else in between, that the cluster is gone."""
    plane, active = await played(script)
    assert active == (set() if archived else {one["Id"] for one in mine()})
    fault = plane.state.connection
    if archived:
        assert fault is not None
        assert "30 findings archived" in fault.message
        assert "delete this MonitoredCluster" in fault.remedy


async def test_an_operator_that_starts_again_waits_again() -> None:
    """What a former process heard is no evidence: the hour begins with the first answer to this one."""
    hub = Account(*mine())
    for _ in range(3):
        plane, active = await played([(0, GONE), (HOUR - 1, GONE)], hub=hub)
        assert len(active) == 30
        assert plane.state.connection is not None
        assert "If it is still gone at" in plane.state.connection.message
    _, active = await played([(0, GONE), (HOUR, GONE), *LATER], hub=hub)
    assert active == set()


STANDS: Script = [(0, GONE), (HOUR, GONE), *LATER]
RIVAL = {"metadata": {"name": "other", "uid": "object-other"}, "spec": {"clusterArn": ARN}, "status": {}}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"onClusterGone": "Hold"}, "told ClusterGone"),
        ({"mode": "NoArchive"}, "spec.mode is not Sync"),
        ({"mode": "DryRun"}, "spec.mode is not Sync"),
        ({"status": {}}, "has never reached a cluster at the address that EKS gave"),
        ({"status": {"clusterUid": UID}}, "has never reached a cluster at the address that EKS gave"),
        (
            {"status": {**KNOWN, "eksArn": ARN.replace("west-1", "west-2")}},
            "has never reached a cluster at the address that EKS gave",
        ),
        ({"eks_arn": ""}, "has never reached a cluster at the address that EKS gave"),
        ({"others": (RIVAL,)}, "MonitoredCluster other has the same identity and hub"),
    ],
    ids=str,
)
async def test_what_keeps_the_findings_whatever_eks_says(given: dict[str, Any], told: str) -> None:
    """Hold; another mode; a cluster of which only a kubeconfig, or another ARN, told the uid; another MonitoredCluster
    that writes the same findings. Connected says why.
    """
    plane, active = await played(STANDS, **given)
    assert len(active) == 30
    assert plane.state.connection is not None
    assert told in plane.state.connection.message


async def test_nothing_of_others_is_touched() -> None:
    """Findings of another uid under the identity, and of an identity that begins alike, stay."""
    others = [finding(90, identity=ARN, uid="another"), finding(91, identity=f"{ARN}-2")]
    _, active = await played(STANDS, *mine(), *others)
    assert active == {one["Id"] for one in others}


async def test_a_hub_that_takes_nothing_is_asked_again() -> None:
    """The status says what is wrong, and when that is put right all is archived: the cluster is asked for each time."""
    hub = Account(*mine())
    hub.refuse = AccessLost(Reason.ACCESS_DENIED, "the hub says no", code="AccessDenied")
    plane, active = await played(STANDS, hub=hub)
    assert len(active) == 30
    assert plane.state.connection is not None
    assert "the hub says no" in plane.state.connection.message
    hub.refuse = None
    _, active = await played([*STANDS, (0, UP)], hub=hub)
    assert active == set()


async def test_a_cluster_that_comes_back_ends_it() -> None:
    """What was not archived when the cluster is found again stays: its API server says what is true from there on."""
    hub = Account(*mine())
    hub.refuse = AccessLost(Reason.ACCESS_DENIED, "the hub says no", code="AccessDenied")
    plane = (await played([*STANDS, (1, UP), (1, GONE)], hub=hub))[0]
    assert plane.state.connection is not None
    assert "If it is still gone at" in plane.state.connection.message
    assert len(hub.active()) == 30


class Counting(Account):
    reads = 0

    async def verify_account(self) -> None:
        """Comes before each time that the findings are read in full."""
        self.reads += 1


@pytest.mark.parametrize(
    "answer", ["Throttled", "Unavailable", DENIED, ELSEWHERE, "CredentialsExpired", "Misconfigured"]
)
@pytest.mark.parametrize("times", [1, HOUR + 1])
async def test_what_says_nothing_of_the_cluster_does_not_unsay_what_was_archived(answer: str, times: int) -> None:
    """The message is the same after it, and Security Hub is not read in full again. An answer that the cluster exists
    ends it.
    """
    hub = Counting(*mine())
    script = [*STANDS, *[(1, answer)] * times, (1, GONE), (HOUR, GONE), *LATER]
    plane, active = await played(script, hub=hub)
    assert active == set()
    assert plane.state.connection is not None
    assert "30 findings archived" in plane.state.connection.message
    once = Counting(*mine())
    await played(STANDS, hub=once)
    assert hub.reads == once.reads
    plane, _ = await played([*script, (1, DELETING), (1, GONE)])
    assert plane.state.connection is not None
    assert "If it is still gone at" in plane.state.connection.message


async def test_an_interruption_of_the_archiving_keeps_its_numbers() -> None:
    """What was archived before EKS did not answer is counted in the end; meanwhile nothing says that it goes on."""
    lag = [(0, GONE)]
    plane, active = await played([(0, GONE), (HOUR, GONE), (0, "Throttled"), *lag])
    assert active == set()
    assert plane.state.connection is not None
    assert "If it is still gone at" in plane.state.connection.message
    plane, _ = await played([(0, GONE), (HOUR, GONE), (0, "Throttled"), *lag, (HOUR, GONE), *LATER])
    assert plane.state.connection is not None
    assert "30 findings archived" in plane.state.connection.message


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_rebuilt_cluster_that_is_gone_too_leaves_nothing(*, restarted: bool) -> None:
    """Rebuilt under its ARN, never adopted, and deleted for good: no cluster of this ARN exists, so the findings of the
    former one are archived as well. The status keeps the former uid meanwhile.
    """
    hub = Account(*mine(), finding(90, identity=ARN, uid="new"), finding(91, identity=ARN, uid="another"))
    script: Script = [(0, UP), *STANDS]

    class Rebuilt(Plane):
        async def _work(self, connection: Connection) -> None:
            self._feed()
            if not restarted and self.uid == UID:
                self.uid = "new"
                raise ClusterReplaced("rebuilt")
            await super()._work(connection)

    hub.__dict__.update(partition="aws", product_arn="arn:aws:securityhub:eu-west-1::product/a/default")
    status = KNOWN if restarted else {}
    plane = Rebuilt(
        script if restarted else [(0, UP), *script], hub, status=status, eks_arn=ARN, rival=clearance.nobody
    )
    plane.uid = "new" if restarted else UID
    with pytest.raises((Ended, ExceptionGroup)):
        await plane.run()
    assert hub.active() == {finding(91, identity=ARN, uid="another")["Id"]}


async def test_a_new_cluster_under_the_arn_is_another_one() -> None:
    """Its ids are those of the former one's findings: none is sent over them before a person says that it may."""
    hub = Account(*mine())
    hub.__dict__.update(partition="aws", product_arn="arn:aws:securityhub:eu-west-1::product/a/default")
    plane, active = await played(STANDS, hub=hub)
    assert active == set()
    plane.state.cluster_uid = "new"
    ledger = plane._feed().ledger
    quarantine = ledger.observed.quarantine
    assert (ledger.cluster_uid, quarantine.former) == ("new", frozenset({UID}))
    quarantine.add(mine()[0]["Id"], UID, archived=True)
    assert quarantine.conflict


class Unwinding(Plane):
    """At work beside tasks that take a moment to end, as watches do."""

    ending = asyncio.Event()

    async def _next(self) -> Connection:
        if not self.script:
            self.script.append((1, GONE))
        return await super()._next()

    async def _work(self, connection: Connection) -> None:
        async def watch() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                self.ending.set()
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch())
            tasks.create_task(super()._work(connection))


async def test_whoever_ends_it_as_it_is_lost_is_heard() -> None:
    """The spec is changed as the data plane ends by itself: it ends for good, and archives nothing by the old one."""
    hub = Account(*mine())
    rival = rivals(
        cast("Connection", Home()), own="object-prod", identity=ARN, hub=(hub.account, hub.region), settings=Settings()
    )
    plane = Unwinding([(0, UP), (1, GONE), (HOUR, GONE)], hub, status=KNOWN, eks_arn=ARN, rival=rival)
    plane.ending = asyncio.Event()
    task = asyncio.create_task(plane.run())
    await plane.ending.wait()
    task.cancel()
    await asyncio.wait([task], timeout=10)
    ended = task.cancelled()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert ended
    assert len(hub.active()) == 30


async def test_a_reconnection_that_is_ended_stays_ended() -> None:
    """The same while an API server that refuses the credentials is to be connected to anew."""
    reached = 0
    ending = asyncio.Event()

    class Nothing:
        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

    async def reach() -> Nothing:
        nonlocal reached
        reached += 1
        await asyncio.sleep(0)
        return Nothing()

    async def watch() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await asyncio.sleep(0)

    async def refused(connection: object, tasks: asyncio.TaskGroup, contact: object) -> None:
        tasks.create_task(watch())
        await asyncio.sleep(0)
        raise Stale

    plane = Plane([], Account(), status=KNOWN, eks_arn=ARN, rival=clearance.nobody)
    plane._contact = cast("Any", SimpleNamespace(reach=reach))
    sources = SimpleNamespace(run=refused, disconnect=lambda: None)
    work = SimpleNamespace(context=SimpleNamespace(watch=lambda *_: None), sources=sources)
    task = asyncio.create_task(plane._serve(cast("Any", work), cast("Any", Nothing())))
    await ending.wait()
    task.cancel()
    await asyncio.wait([task], timeout=10)
    ended = task.cancelled()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert ended
    assert reached == 0


async def test_an_import_that_is_under_way_is_waited_for() -> None:
    """It would make active again what was archived before it lands."""
    hub, flying = Account(*mine()), {"one": None}
    ledger = cast("Any", SimpleNamespace(agenda=SimpleNamespace(in_flight=flying), cluster_uid=UID))
    archiving = Archiving(
        cast("Any", hub),
        Acknowledged(),
        Metrics(CollectorRegistry()),
        identity=ARN,
        uid=UID,
        uids=frozenset({UID}),
        sent=Sent(ledger=ledger, sure=True),
        rival=lambda: clearance.nobody(()),
        now=lambda: SteadyMs(int(NOW)),
        wall=lambda: NOW,
    )
    assert await archiving.round() is Round.LAGS
    assert len(hub.active()) == 30
    flying.clear()
    await archiving.round()
    assert hub.active() == set()


async def test_clusters_that_went_together_are_archived_one_after_the_other() -> None:
    """So that those that live have every second call."""
    hub = Account(*mine())
    at_once, most = 0, 0

    class Slow(Account):
        async def verify_account(self) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            for _ in range(5):
                await asyncio.sleep(0)
            at_once -= 1

    hub = Slow(*mine())
    await asyncio.gather(*(played(STANDS, hub=hub) for _ in range(5)))
    assert hub.active() == set()
    assert most == 1


async def test_what_nobody_foresaw_ends_the_hour() -> None:
    """An answer that is not understood is another answer."""
    plane = Plane([(0, GONE)], Account(*mine()), status=KNOWN, eks_arn=ARN, rival=clearance.nobody)
    with pytest.raises(Ended):
        await plane.run()
    assert plane._clearance._absence.since == NEVER


async def test_what_another_uid_left_is_named() -> None:
    """They stay, and Connected does not say that all is done."""
    plane, active = await played(STANDS, *mine(), finding(90, identity=ARN, uid="another"))
    assert len(active) == 1
    assert plane.state.connection is not None
    assert "Another cluster's uid is in 1 active finding of this identity" in plane.state.connection.message
