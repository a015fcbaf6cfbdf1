"""A cluster that EKS no longer knows: on which evidence its findings are archived, and which of them."""

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
"""The answers, each with the minutes since the one before."""


class Ended(Exception):
    """The script has ended."""


class Plane(DataPlane):
    """A data plane that connects by a script and then waits until its connection is lost."""

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
        minutes, received = self.script.pop(0)
        self.time += minutes * 60_000
        if received == UP:
            return cast("Connection", SimpleNamespace(cluster_uid=self._uid, close=self._close))
        reason = Reason.known(received)
        assert reason is not None
        raise (
            Unreachable("no answer") if received == "Unreachable" else NotTried(reason, f"told {received}", remedy="r")
        )

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
    """Run the script; returns the plane, and the ids that are still active."""
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
"""Longer than GetFindings may lag behind another process."""


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
async def test_only_a_lasting_absence_archives(script: Script, *, archived: bool) -> None:
    """For an hour, EKS must answer only that the cluster is gone."""
    plane, active = await played(script)
    assert active == (set() if archived else {one["Id"] for one in mine()})
    fault = plane.state.connection
    if archived:
        assert fault is not None
        assert "30 findings archived" in fault.message
        assert "delete this MonitoredCluster" in fault.remedy


async def test_a_restart_starts_the_hour_again() -> None:
    """Answers to a former process are no evidence: the hour starts with the first answer to this one."""
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
    ("given", "expected"),
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
async def test_reasons_to_keep_the_findings(given: dict[str, Any], expected: str) -> None:
    """Hold; another mode; an identity known only through a kubeconfig or another ARN; another MonitoredCluster that
    writes the same findings. Connected says why.
    """
    plane, active = await played(STANDS, **given)
    assert len(active) == 30
    assert plane.state.connection is not None
    assert expected in plane.state.connection.message


async def test_findings_of_others_are_not_touched() -> None:
    """Findings of another uid under the identity, and of an identity with the same prefix, stay."""
    others = [finding(90, identity=ARN, uid="another"), finding(91, identity=f"{ARN}-2")]
    _, active = await played(STANDS, *mine(), *others)
    assert active == {one["Id"] for one in others}


async def test_a_refusing_hub_is_retried() -> None:
    """The status has the problem; after its end all is archived. The cluster is checked before each attempt."""
    hub = Account(*mine())
    hub.refuse = AccessLost(Reason.ACCESS_DENIED, "the hub says no", code="AccessDenied")
    plane, active = await played(STANDS, hub=hub)
    assert len(active) == 30
    assert plane.state.connection is not None
    assert "the hub says no" in plane.state.connection.message
    hub.refuse = None
    _, active = await played([*STANDS, (0, UP)], hub=hub)
    assert active == set()


async def test_a_returning_cluster_ends_the_archiving() -> None:
    """Findings that were not archived yet stay: from then on the cluster's API server is the source."""
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


async def test_a_new_cluster_with_the_same_arn() -> None:
    """It would use the former cluster's ids: it sends nothing before a person allows it."""
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
    """A data plane with tasks that take a moment to end, as watches do."""

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


async def test_a_changed_spec_while_the_plane_ends() -> None:
    """The spec changes while the data plane ends on its own: it ends for good, and archives nothing by the old spec."""
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


async def test_a_stopped_reconnect_stays_stopped() -> None:
    """The same during a reconnect to an API server that refuses the credentials."""
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


async def test_an_import_in_flight_is_awaited() -> None:
    """Otherwise it could reactivate a finding that was archived before its arrival."""
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


async def test_several_deleted_clusters_are_archived_in_turn() -> None:
    """So that running clusters get every second call."""
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


async def test_an_unexpected_error_restarts_the_hour() -> None:
    """An answer that is not understood is another answer."""
    plane = Plane([(0, GONE)], Account(*mine()), status=KNOWN, eks_arn=ARN, rival=clearance.nobody)
    with pytest.raises(Ended):
        await plane.run()
    assert plane._clearance._absence.since == NEVER


async def test_findings_of_another_uid_are_reported() -> None:
    """They stay, and Connected does not report completion."""
    plane, active = await played(STANDS, *mine(), finding(90, identity=ARN, uid="another"))
    assert len(active) == 1
    assert plane.state.connection is not None
    assert "Another cluster's uid is in 1 active finding of this identity" in plane.state.connection.message
