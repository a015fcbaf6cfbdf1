"""The effect of a discovery on the sources of a cluster, including sources that disappeared during downtime."""

import asyncio
import random
from collections.abc import Coroutine
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.runner import DataPlane
from policyhub.cluster.site import Site
from policyhub.kube.changed_names import NameBudget
from policyhub.kube.discovery import Discovery
from policyhub.kube.resource import Resource
from policyhub.kube.sink import ReflectorState
from policyhub.kube.time_slice import TimeSlice
from policyhub.metrics.definitions import Metrics
from policyhub.model.source_apis import CONSTRAINTS, OPEN_REPORTS, POLICY_REPORTS
from policyhub.settings import Settings
from policyhub.sync.entry import ObservedFinding
from policyhub.sync.superseded import SUPERSEDED_AFTER_SECONDS

START = SteadyMs(1_790_000_000_000)
WALL = WallMs(int(START))
DELAY = 600_000
OLD = Resource(POLICY_REPORTS, "v1alpha2", "policyreports", "PolicyReport", namespaced=True)
NEW = Resource(OPEN_REPORTS, "v1alpha1", "reports", "Report", namespaced=True)
PORTS = Resource(CONSTRAINTS, "v1beta1", "k8sports", "K8sPorts", namespaced=False)


class Tasks:
    """Records coroutines without running them."""

    def create_task(self, coroutine: Coroutine[Any, Any, None]) -> Any:
        coroutine.close()
        return SimpleNamespace(cancel=lambda: None)


class Scene:
    """The sources of one cluster, and its API server's discovery."""

    def __init__(self) -> None:
        self.time = START
        spec = {"connection": {"inCluster": {}}, "archiveDelay": "10m", "rollUp": False, "enrichment": False}
        site = Site(
            monitored=MonitoredCluster.model_validate({"metadata": {"name": "alpha"}, "spec": spec}),
            account="111122223333",
            region="eu-west-1",
            hub=cast(Any, SimpleNamespace(partition="aws", product_arn="p")),
            engine=cast(
                Any,
                SimpleNamespace(hub_name="hub", problem=None, read_problem=None, wake=lambda: None, acknowledged=None),
            ),
            settings=Settings(),
            metrics=Metrics(CollectorRegistry()),
            now=lambda: self.time,
            wall=lambda: WallMs(int(self.time)),
            rng=random.Random(1),  # noqa: S311  (jitter)
        )
        self.work = DataPlane(site, connect=lambda: pytest.fail("nothing is connected here")).begin()
        self.sources, self.ledger = self.work.sources, self.work.queue.ledger

    def listed(self) -> bool:
        return self.ledger.sources.reports_listed

    def wanted(self) -> int:
        return sum(entry.desired for entry in self.ledger.entries.values())

    def cleared(self) -> int:
        return sum(entry.passed for entry in self.ledger.entries.values())

    def discover(self, *served: Resource, unknown: str = "", after: int = 60_000) -> None:
        self.time += after
        found = Discovery(served=served, unknown={unknown: "503"} if unknown else {})
        connection: Any = SimpleNamespace(time_slice=TimeSlice(), name_budget=NameBudget(), server="https://cluster")
        self.sources._apply(found, connection, cast(Any, Tasks()), started=self.time)

    def list(self, resource: Resource, *bodies: dict[str, Any]) -> None:
        """A complete list with these objects, and the watch after it."""
        view = self.sources.watched[resource.group_resource].view
        view.begin()
        for body in bodies:
            view.upsert(msgspec.json.encode(body))
        view.finish()
        view.state(ReflectorState(phase="watching"))
        self.sources.update_report_apis()


def report(resource: Resource, *, at: int, namespace: str = "shop") -> dict[str, Any]:
    """Of one failing result of Kyverno at this time (Unix s)."""
    result = {
        "policy": "p",
        "rule": "r",
        "result": "fail",
        "source": "kyverno",
        "timestamp": {"seconds": at, "nanos": 0},
    }
    return {
        "apiVersion": f"{resource.group}/{resource.version}",
        "kind": resource.kind,
        "metadata": {"name": "r", "namespace": namespace},
        "scope": {"apiVersion": "v1", "kind": "Service", "name": "web", "namespace": namespace},
        "results": [result],
    }


def constraint() -> dict[str, Any]:
    violation = {"group": "", "version": "v1", "kind": "Service", "namespace": "shop", "name": "web", "message": "m"}
    audited = datetime.fromtimestamp(START // 1000, UTC).isoformat().replace("+00:00", "Z")
    return {
        "apiVersion": f"{CONSTRAINTS}/v1beta1",
        "kind": "K8sPorts",
        "metadata": {"name": "ports"},
        "spec": {"enforcementAction": "deny"},
        "status": {
            "auditTimestamp": audited,
            "totalViolations": 1,
            "violations": [{**violation, "enforcementAction": "deny"}],
        },
    }


def test_an_api_that_vanished_before_its_list_is_not_awaited() -> None:
    """Two discoveries prove its absence: silence is evidence again. One, or a failed one, is not sufficient."""
    scene = Scene()
    scene.discover(OLD, NEW)
    scene.list(OLD)
    assert not scene.listed()
    scene.discover(OLD)
    scene.discover(OLD, unknown=OPEN_REPORTS)
    assert not scene.listed()
    scene.discover(OLD)
    assert scene.listed()
    scene.discover(OLD, NEW)
    assert not scene.listed()


def test_live_apis() -> None:
    """Those that are served, listed and watched; none after the connection has ended."""
    scene = Scene()
    scene.discover(OLD, NEW, PORTS)
    scene.list(OLD)
    scene.list(PORTS)
    assert scene.sources.report_apis.live == {OLD.group_resource}
    scene.list(NEW)
    assert scene.sources.report_apis.live == {OLD.group_resource, NEW.group_resource}
    scene.discover(NEW)
    assert scene.sources.report_apis.live == {NEW.group_resource}
    scene.sources.disconnect()
    scene.sources.update_report_apis()
    assert not scene.sources.report_apis.live


def test_a_template_deleted_during_downtime() -> None:
    """After a reconnect, its kind is absent from discoveries an archive delay apart: its constraints are gone."""
    scene = Scene()
    scene.discover(OLD, PORTS)
    scene.list(PORTS, constraint())
    assert scene.wanted()
    scene.sources.disconnect()
    scene.discover(OLD)
    scene.discover(OLD, after=DELAY - 1)
    scene.discover(OLD, unknown=CONSTRAINTS, after=1)
    assert scene.wanted()
    scene.discover(OLD)
    assert not scene.wanted()


def test_a_template_that_comes_back() -> None:
    """Absent, present, absent: the delay starts again."""
    scene = Scene()
    scene.discover(PORTS)
    scene.list(PORTS, constraint())
    scene.sources.disconnect()
    scene.discover()
    scene.discover(PORTS)
    scene.list(PORTS, constraint())
    scene.sources.disconnect()
    scene.discover(after=DELAY)
    scene.discover(after=DELAY - 1)
    assert scene.wanted()
    scene.discover()
    assert not scene.wanted()


def test_superseded_reports_stay_so_over_a_reconnect() -> None:
    """The older API is listed first after it, and again later: at no time is it used."""
    left = {("kyverno", POLICY_REPORTS, "shop")}
    scene = Scene()
    now = START // 1000
    old, new = report(OLD, at=now - SUPERSEDED_AFTER_SECONDS - 1), report(NEW, at=now)
    scene.discover(OLD, NEW)
    scene.list(OLD, old)
    assert not scene.sources.superseded.reports
    scene.list(NEW, new)
    assert scene.sources.superseded.reports == left
    frozen = scene.ledger.desired.superseded
    assert frozen
    scene.sources.disconnect()
    scene.discover(OLD, NEW)
    scene.list(OLD, old)
    assert scene.sources.superseded.reports == left
    scene.list(NEW, new)
    assert scene.sources.superseded.reports == left
    assert scene.ledger.desired.superseded == frozen


def test_a_report_of_one_namespace_supersedes_none_of_another() -> None:
    """Whoever can write reports in one namespace does not affect an engine's reports elsewhere."""
    scene = Scene()
    now = START // 1000
    scene.discover(OLD, NEW)
    scene.list(OLD, report(OLD, at=now - SUPERSEDED_AFTER_SECONDS - 1))
    scene.list(NEW, report(NEW, at=now, namespace="tenant"))
    assert not scene.sources.superseded.reports
    assert not scene.ledger.desired.superseded
    assert scene.wanted() == 2


def test_a_pass_from_before_the_older_report_was_superseded() -> None:
    """The engine writes it once: another list reads it again, and it ends violations that only the older report
    states.
    """
    scene = Scene()
    now = START // 1000
    old, new = report(OLD, at=now - SUPERSEDED_AFTER_SECONDS - 1), report(NEW, at=now)
    new["results"][0]["result"] = "pass"
    scene.discover(OLD, NEW)
    scene.list(OLD, old)
    (entry,) = scene.ledger.entries.values()
    scene.ledger.mark_in_flight(entry)
    scene.ledger.acknowledge(
        entry, ObservedFinding(entry.digest, WALL - 60_000, WALL - 60_000, archived=False), now=START
    )
    asked: list[Resource] = []
    for source in scene.sources.watched.values():
        source.reflector.request_relist = partial(asked.append, source.resource)  # type: ignore[method-assign]  # none runs
    scene.list(NEW, new)
    assert not scene.wanted()
    assert not scene.cleared()
    scene.work.tick._request_evidence()
    assert NEW in asked
    scene.list(NEW, new)
    assert scene.cleared()
    asked.clear()
    scene.sources.evidence_due = True
    scene.work.tick._request_evidence()
    assert not asked  # whoever can write reports must not be able to cause a list each time


@pytest.mark.parametrize("late", [False, True], ids=["at once", "after a while"])
async def test_reports_are_discovered_once_for_the_policies(monkeypatch: pytest.MonkeyPatch, *, late: bool) -> None:
    """The discovery is used if the policies are known soon after; if they take long it is repeated."""
    scene, asked = Scene(), list[bool]()
    settling = [False, True] if late else [True]
    library = SimpleNamespace(is_ready=False)

    async def settle(*, seconds: float) -> None:
        assert seconds > 0
        library.is_ready = settling.pop(0)

    async def discover(*_: object, **__: object) -> Discovery:
        asked.append(library.is_ready)
        return Discovery(served=(OLD,), unknown={})

    async def confirm(_: object) -> bool:
        return True

    library.wait_until_ready = settle
    scene.work.context.policy_watcher = cast(Any, library)
    monkeypatch.setattr("policyhub.cluster.sources.discover", discover)
    connection: Any = SimpleNamespace(time_slice=TimeSlice(), name_budget=NameBudget(), server="https://cluster")
    contact = cast(Any, SimpleNamespace(confirm=confirm))
    task = asyncio.ensure_future(scene.sources.run(connection, cast(Any, Tasks()), contact=contact))
    while not (scene.sources.watched or task.done()):  # noqa: ASYNC110  (nothing tells of it)
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert asked == ([False, True] if late else [False])
