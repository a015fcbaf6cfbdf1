"""Writing of statuses: also when one cannot be built, is rejected, or cannot be written at all."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from policyhub.api.reason import Cause, Reason
from policyhub.api.status import Condition, Hub, Status
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.runner import DataPlane
from policyhub.control import status
from policyhub.control.reporter import (
    EVENT_BYTES,
    HEARTBEAT_SECONDS,
    RETRY_SECONDS,
    STATUS_SECONDS,
    TIMES_SECONDS,
    Reporter,
    Watched,
)
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.metrics.definitions import Metrics
from policyhub.sync.quarantine import CONFLICT_ABOVE
from tests.unit.status.test_status import ledger, plane
from tests.unit.sync.test_ledger import id_of

NOW = SteadyMs(1_790_000_000_000)
WALL = WallMs(int(NOW))
WRITTEN = "policyhub_status_written_timestamp_seconds"
Answer = Callable[[dict[str, Any]], Exception | None]


class Home:
    def __init__(self) -> None:
        self.answer: Answer = lambda _: None
        self.tried = 0
        self.patched: list[dict[str, Any]] = []
        self.posted: list[dict[str, Any]] = []

    async def patch(self, _: str, body: dict[str, Any]) -> bytes:
        self.tried += 1
        if (error := self.answer(body)) is not None:
            raise error
        self.patched.append(body["status"])
        return b"{}"

    async def post(self, _: str, body: dict[str, Any]) -> bytes:
        self.posted.append(body)
        return b"{}"


class Stand:
    def __init__(self, *, name: str = "alpha", working: DataPlane | None = None, ahead: int = 0) -> None:
        """`ahead`: how far the wall clock moved since the process started."""
        self.home = Home()
        self.registry = CollectorRegistry()
        self.time = 0.0
        self.watched = Watched(name=name, uid="1", intent=None, generation=1, conditions={})
        self.watched.plane = working
        self.watched.fault = Cause(Reason.HUB_NOT_NAMED, "name one")
        self.reporter = Reporter(
            {name: self.watched},
            home=cast("Connection", self.home),
            metrics=Metrics(self.registry),
            now=lambda: NOW + int(self.time * 1000),
            wall=lambda: WALL + ahead + int(self.time * 1000),
            clock=lambda: self.time,
        )

    async def round(self, *, after: float = STATUS_SECONDS) -> None:
        self.time += after
        await self.reporter._report(self.watched)

    def ready(self) -> tuple[str, str]:
        """The last written Ready."""
        found = next(c for c in self.home.patched[-1]["conditions"] if c["type"] == "Ready")
        return found["status"], found["reason"]

    def exposed(self) -> list[str]:
        """The conditions of the metric as `condition=status/reason`."""
        samples = [sample for metric in self.registry.collect() for sample in metric.samples]
        written = [sample.labels for sample in samples if sample.name == "policyhub_condition"]
        return sorted(f"{labels['condition']}={labels['status']}/{labels['reason']}" for labels in written)

    def failures(self) -> str:
        lines = generate_latest(self.registry).decode().splitlines()
        return " ".join(line for line in lines if line.startswith("policyhub_status_write_failures_total{"))


class Broken:
    """A data plane from whose state no status can be built."""

    mended: DataPlane | None = None

    def __getattr__(self, name: str) -> Any:
        if self.mended is None:
            raise ValueError("something that nobody expected")
        return getattr(self.mended, name)


async def test_a_status_that_cannot_be_built() -> None:
    """Ready is False with StatusFailed and the error's class, all else Unknown, in the metric too; one Event is
    created; it recovers without intervention.
    """
    broken = Broken()
    made = Stand(working=cast("DataPlane", broken))
    await made.round()
    assert made.ready() == ("False", "StatusFailed")
    assert "ValueError" in made.home.patched[-1]["conditions"][0]["message"]
    assert {c["status"] for c in made.home.patched[-1]["conditions"][1:]} == {"Unknown"}
    assert "Ready=False/StatusFailed" in made.exposed()
    assert "InSync=Unknown/StatusFailed" in made.exposed()
    for _ in range(20):
        await made.round()
    assert len(made.home.patched) == 1
    assert [event["reason"] for event in made.home.posted] == ["StatusFailed"]
    assert made.home.posted[0]["type"] == "Warning"

    broken.mended = plane()
    await made.round(after=RETRY_SECONDS)
    assert made.ready() == ("True", "AllWell")
    assert "Ready=True/AllWell" in made.exposed()
    assert not any("StatusFailed" in each for each in made.exposed())


@pytest.mark.parametrize("error", [None, Refused(403, "Forbidden", "no"), Unreachable("no route")], ids=str)
async def test_nothing_is_sent_before_the_first_status(
    error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that takes over the MonitoredCluster must know that findings were sent. The first status is written at
    once; if it cannot be written, findings are sent all the same.
    """
    working = plane()
    working.recorded = False
    made = Stand(working=working)
    asked, free = asyncio.Event(), asyncio.Event()
    patch = made.home.patch

    async def held(path: str, body: dict[str, Any]) -> bytes:
        asked.set()
        await free.wait()
        return await patch(path, body)

    monkeypatch.setattr(made.home, "patch", held)
    made.home.answer = lambda _: error
    made.watched.plane = None
    run = asyncio.create_task(made.reporter.run())
    free.set()
    await asyncio.wait_for(asked.wait(), 1)
    asked.clear()
    free.clear()
    made.time += RETRY_SECONDS
    made.watched.plane = working
    made.reporter.start()
    await asyncio.wait_for(asked.wait(), STATUS_SECONDS / 2)
    working._gate()
    sends = [working.sends]
    free.set()
    await asyncio.sleep(0.05)
    sends.append(working.sends)
    run.cancel()
    assert sends == [False, True]


def picky(status: int) -> Answer:
    """Accepts only a status that reports a failure."""

    def answer(body: dict[str, Any]) -> Exception | None:
        failed = all(c["reason"] == "StatusFailed" for c in body["status"]["conditions"])
        return None if failed else Refused(status, "Invalid", "status.sources[0]: too long")

    return answer


@pytest.mark.parametrize("code", [413, 422])
async def test_a_status_that_the_api_server_rejects(code: int) -> None:
    """It is replaced once by a status that reports the failure; the real one is retried every 15 seconds and counted;
    the metric says StatusFailed until one is accepted.
    """
    made = Stand(working=plane())
    made.home.answer = picky(code)
    for _ in range(30):
        await made.round()
        assert "Ready=False/StatusFailed" in made.exposed()
    assert made.ready() == ("False", "StatusFailed")
    assert "too long" in made.home.patched[-1]["conditions"][0]["message"]
    assert len(made.home.patched) == 1
    assert made.home.tried <= 2 + 60 / RETRY_SECONDS
    assert f'reason="{code}"' in made.failures()
    made.home.answer = lambda _: None
    await made.round(after=RETRY_SECONDS)
    assert made.ready() == ("True", "AllWell")
    assert "Ready=True/AllWell" in made.exposed()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(Refused(403, "Forbidden", "no"), "403", id="403"),
        pytest.param(Unreachable("no route"), "Unreachable", id="unreachable"),
        pytest.param(Refused(422, "Invalid", "no"), "422", id="every status refused"),
    ],
)
async def test_failed_writes_are_counted(error: Exception, reason: str) -> None:
    """Each failed attempt is counted, at most four a minute; the metric keeps showing the current conditions."""
    working = plane()
    made = Stand(working=working)
    made.home.answer = lambda _: error
    await made.round()
    working.state.connection = Cause(Reason.UNAUTHORIZED, "renew them")
    for _ in range(30):
        await made.round()
    assert not made.home.patched
    assert made.home.tried <= 2 * (2 + 60 / RETRY_SECONDS)
    assert f'reason="{reason}"' in made.failures()
    expected = "Ready=False/StatusFailed" if reason == "422" else "Ready=False/Unauthorized"
    assert expected in made.exposed()


async def test_a_deleted_cluster_leaves_no_series() -> None:
    """Even if it is deleted while its status is written."""
    made = Stand(working=plane())

    def gone(_: dict[str, Any]) -> Exception:
        made.reporter._watched = {}
        made.reporter._metrics.forget_status("alpha")
        return Refused(422, "Invalid", "no")

    made.home.answer = gone
    await made.round()
    assert made.exposed() == []
    assert not made.failures()


@pytest.mark.parametrize(
    ("name", "start"),
    [
        pytest.param("alpha", "alpha-", id="short"),
        pytest.param("a" * 253, "a" * 50 + "-", id="253 characters"),
        pytest.param("a" * 49 + "." + "b" * 203, "a" * 49 + "-", id="cut at a dot"),
    ],
)
async def test_events_of_long_names_and_messages(name: str, start: str) -> None:
    """An Event's name stays within the API server's limit, and its message is cut by bytes, not within a character."""
    working = plane()
    working.state.connection = Cause(Reason.API_ERROR, "é\U0001f600" * 2_000)
    made = Stand(name=name, working=working)
    await made.round()
    event = next(event for event in made.home.posted if event["reason"] == "ApiError")
    assert event["metadata"]["generateName"] == start
    assert event["involvedObject"]["name"] == name
    assert EVENT_BYTES - 4 <= len(event["message"].encode()) <= EVENT_BYTES
    assert event["message"].startswith("Connected=False: é\U0001f600")


async def test_an_unchanged_status_has_a_heartbeat() -> None:
    """Its time, also in a metric, distinguishes an old status from a current one."""
    made = Stand(working=plane())
    await made.round()
    first = made.home.patched[-1]["lastHeartbeatTime"]
    await made.round(after=HEARTBEAT_SECONDS - 1)
    assert len(made.home.patched) == 1
    await made.round(after=1)
    assert len(made.home.patched) == 2
    assert made.home.patched[-1]["lastHeartbeatTime"] > first
    assert made.registry.get_sample_value(WRITTEN, {"cluster": "alpha"}) == (int(WALL) + made.time * 1000) / 1000
    made.home.answer = lambda _: Unreachable("no route")
    written = made.registry.get_sample_value(WRITTEN, {"cluster": "alpha"})
    await made.round(after=HEARTBEAT_SECONDS)
    assert made.home.tried == 3
    assert made.registry.get_sample_value(WRITTEN, {"cluster": "alpha"}) == written
    made.reporter._metrics.forget_status("alpha")
    assert made.registry.get_sample_value(WRITTEN, {"cluster": "alpha"}) is None


@pytest.mark.parametrize("name", ["oldestPending", "triageRead"])
async def test_changed_times_are_written_once_a_minute(name: str) -> None:
    """A time that changes with each import does not cause a write each time."""
    made = Stand()

    def due(moment: str, pending: int) -> bool:
        return made.reporter._due(made.watched, {"status": {"findings": {name: moment, "pending": pending}}})

    made.watched.written = {"status": {"findings": {name: "12:00", "pending": 1}}}
    made.watched.written_at, made.time = 0.0, TIMES_SECONDS - 1
    assert not due("12:01", 1)
    assert due("12:01", 2)
    made.time = TIMES_SECONDS
    assert due("12:01", 1)
    assert not due("12:00", 1)


async def test_a_failed_status_has_a_heartbeat() -> None:
    """StatusFailed is written again: the operator runs, and still cannot build the status."""
    made = Stand(working=cast("DataPlane", Broken()))
    await made.round()
    await made.round(after=HEARTBEAT_SECONDS)
    first, second = made.home.patched
    assert second["lastHeartbeatTime"] > first["lastHeartbeatTime"]


async def test_an_error_in_one_status_does_not_end_the_loop() -> None:
    """Whatever the error, other statuses are written."""
    made = Stand(working=plane())
    bad = Watched(name="bad", uid="2", intent=None, generation=cast("Any", "no number"), conditions={})
    made.reporter._watched = {"bad": bad, "alpha": made.watched}
    running = asyncio.create_task(made.reporter.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not running.done()
    assert made.ready() == ("True", "AllWell")
    running.cancel()


async def test_transition_times_survive_a_failure() -> None:
    """Conditions that are Unknown for a while change their time; a Ready that stays False does not."""
    broken = Broken()
    made = Stand(working=cast("DataPlane", broken))
    await made.round()
    since = made.watched.conditions["Ready"].last_transition_time
    broken.mended = plane()
    broken.mended.state.connection = Cause(Reason.API_ERROR, "x")
    await made.round(after=100)
    ready: Condition = made.watched.conditions["Ready"]
    assert (ready.reason, ready.last_transition_time) == ("ApiError", since)


@pytest.mark.parametrize("ahead", [-2_592_000_000, 2_592_000_000], ids=["put back", "put forward"])
async def test_times_follow_the_wall_clock(ahead: int) -> None:
    """Heartbeat, transitions, Events and the metric, if the clock was a month wrong at the start: other machines and
    the next process compare them with theirs.
    """
    working = plane()
    working.state.connection = Cause(Reason.API_ERROR, "500")
    made = Stand(working=working, ahead=ahead)
    await made.round()
    now = status.timestamp(WALL + ahead + int(made.time * 1000))
    written = made.home.patched[-1]
    assert written["lastHeartbeatTime"] == now
    assert {condition["lastTransitionTime"] for condition in written["conditions"]} == {now}
    assert made.home.posted
    assert {event[name] for event in made.home.posted for name in ("firstTimestamp", "lastTimestamp")} == {now}
    value = made.registry.get_sample_value(WRITTEN, {"cluster": "alpha"})
    assert value == (int(WALL) + ahead + made.time * 1000) / 1000


async def test_the_identity_stays_in_the_status() -> None:
    """Identity, uid and hub of sent findings stay while nothing can be read: a deletion needs them."""
    hub = Hub(account_id="111122223333", region="eu-west-1")
    made = Stand()
    made.watched.recorded = Status(identity="prod", cluster_uid="8e5c", hub=hub)
    await made.round()
    written = made.home.patched[-1]
    assert (written["identity"], written["clusterUid"], written["hub"]["region"]) == ("prod", "8e5c", "eu-west-1")
    made.watched.plane = plane()
    made.watched.plane.state.cluster_uid = ""
    await made.round()
    assert made.home.patched[-1]["clusterUid"] == "8e5c"


FORMER = Status(cluster_uid="former", eks_arn="arn:aws:eks:eu-west-1:111122223333:cluster/prod")


def _one_of_the_former(made: DataPlane) -> None:
    ledger(made).observed.quarantine.former = frozenset({"former"})
    ledger(made).observed.take_foreign(id_of(1), "former", archived=True, now=NOW)


def _many_of_another(made: DataPlane) -> None:
    for number in range(CONFLICT_ABOVE + 1):
        ledger(made).observed.take_foreign(id_of(number), "another", archived=False, now=NOW)


def _not_read(made: DataPlane) -> None:
    made.state.inventory = Cause(Reason.INVENTORY_INCOMPLETE, "still being read")


def _not_begun(made: DataPlane) -> None:
    made.work = None


@pytest.mark.parametrize("why", [_one_of_the_former, _many_of_another, _not_read, _not_begun])
async def test_the_uid_of_a_rebuilt_cluster_is_not_recorded_over_the_former_one(
    why: Callable[[DataPlane], None],
) -> None:
    """Uid and ARN are those of the cluster with findings in Security Hub: after a restart, and with another operator,
    the former cluster is still known. The new uid is written once no finding contradicts it, and over nothing at once.
    """
    contested = plane()
    why(contested)
    made = Stand(working=contested)
    made.watched.recorded = FORMER
    for _ in range(2):
        await made.round(after=HEARTBEAT_SECONDS)
        assert (made.home.patched[-1]["clusterUid"], made.home.patched[-1]["eksArn"]) == ("former", FORMER.eks_arn)
    assert (made.watched.recorded.cluster_uid, made.watched.recorded.eks_arn) == ("former", FORMER.eks_arn)

    made.watched.plane = plane()
    await made.round(after=HEARTBEAT_SECONDS)
    assert (made.home.patched[-1]["clusterUid"], made.home.patched[-1].get("eksArn")) == ("uid-1", None)
    assert made.watched.recorded.cluster_uid == "uid-1"

    first = Stand(working=contested)
    await first.round()
    assert first.home.patched[-1]["clusterUid"] == "uid-1"
