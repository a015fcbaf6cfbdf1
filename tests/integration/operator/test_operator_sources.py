"""Sources that are unreadable, fail, disappear and appear: their silence archives nothing, and a condition reports
it.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web

from dev import crds
from tests.integration.operator.gate import Gate
from tests.integration.operator.test_operator_rollup import workload
from tests.integration.operator.world import KINDS, World, constraint, report, result

REPORTS = "policyreports.wgpolicyk8s.io"
DELAY = "2s"


def outlast_the_delay(world: World, name: str) -> None:
    """Return after a violation that disappears after this call has been archived. It belongs to a constraint, which
    depends on its own API only.
    """
    world.apply(constraint(name, name))
    world.until(lambda: world.states(KINDS[0]).get(name) == "ACTIVE", f"{name} to be found")
    world.audit(name)
    world.until(lambda: world.states(KINDS[0]).get(name) == "ARCHIVED", f"{name} to be archived")


def complete(world: World, source: str) -> float:
    return world.operator.metric("policyhub_source_complete", cluster="alpha", source=source)


def failing(*paths: str) -> Callable[[web.Request, bytes], web.Response | None]:
    """Answer 500 for these paths, and 410 to watches, which forces a new list."""

    def intercept(request: web.Request, _: bytes) -> web.Response | None:
        if request.path not in paths:
            return None
        code = 410 if "watch" in request.query else 500
        status = {"kind": "Status", "status": "Failure", "code": code, "message": "etcdserver: no leader"}
        return web.json_response(status, status=code)

    return intercept


def kubeconfig(world: World, gate: Gate, folder: Path) -> str:
    """The operator's own kubeconfig, but through the proxy."""
    config = json.loads(world.installed.kubeconfig().read_text())
    for entry in config["clusters"]:
        entry["cluster"] = {"server": gate.url}
    path = folder / "gate.kubeconfig"
    path.write_text(json.dumps(config))
    return str(path)


@pytest.fixture(scope="module")
def gate(home: World) -> Iterator[Gate]:
    with Gate(home.cluster.url, ca=home.cluster.ca or "") as gate:
        yield gate


@contextmanager
def forbidden(world: World, group: str) -> Iterator[None]:
    """The ClusterRole without the rule for an API group."""
    role = next(d for d in world.installed.documents if d["kind"] == "ClusterRole")
    path = world.cluster.path(role)
    left = [rule for rule in role["rules"] if group not in rule["apiGroups"]]
    assert len(left) == len(role["rules"]) - 1
    world.cluster.request("PATCH", path, {"rules": left})
    try:
        yield
    finally:
        world.cluster.request("PATCH", path, {"rules": role["rules"]})


def test_lists_fail_at_the_start(world: World, gate: Gate, tmp_path: Path) -> None:
    """If reports cannot be listed (403 or 500), none of their findings is archived, condition and metric say why, and
    other sources continue; when they can be listed again, only violations that really ended are archived, and nothing
    else is sent.
    """
    gone = [report("gone", result("denied")), report("gone", result("broken"), kind="Report")]
    kept = [report("kept", result("denied")), report("kept", result("broken"), kind="Report")]
    world.apply(*gone, *kept)
    world.monitor(archiveDelay=DELAY)
    through = kubeconfig(world, gate, tmp_path)
    world.start(KUBECONFIG=through)
    for policy in ("denied", "broken"):
        world.await_states(policy, gone="ACTIVE", kept="ACTIVE")
    world.operator.kill()
    world.delete(*gone)
    broken = gate.intercepted(failing("/apis/openreports.io/v1alpha1/reports"))
    with broken, forbidden(world, "wgpolicyk8s.io"):
        world.start(KUBECONFIG=through)
        output = world.await_condition("SourcesComplete", "False", reason="ListingForbidden")
        assert f"{REPORTS}: 403" in output["message"]
        assert "reports.openreports.io: 500" in output["message"]
        world.await_condition("Ready", "False")
        outlast_the_delay(world, "clock")
        for policy in ("denied", "broken"):
            assert world.states(policy) == {"gone": "ACTIVE", "kept": "ACTIVE"}
        metrics = world.operator.get("/metrics")
        for reason, source in (("ListingForbidden", REPORTS), ("ListingFailed", "reports.openreports.io")):
            assert f'policyhub_source_complete{{cluster="alpha",reason="{reason}",source="{source}"}} 0.0' in metrics
    mark = world.mark()
    for policy in ("denied", "broken"):
        world.await_states(policy, gone="ARCHIVED", kept="ACTIVE")
    world.well()
    assert complete(world, REPORTS) == 1
    assert [entry["outcome"] for entry in world.journal(mark)] == ["archived", "archived"]


@pytest.fixture(scope="module")
def live(home: World, gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An operator behind the proxy, in a cluster that does not serve openreports yet."""
    home.clear()
    for plural in ("reports", "clusterreports"):
        home.cluster.remove_crd(plural, "openreports.io")
    home.monitor(archiveDelay=DELAY)
    home.start(KUBECONFIG=kubeconfig(home, gate, tmp_path_factory.mktemp("gate")))
    home.synced()
    yield home
    home.cluster.apply(crds.open_reports())
    home.clear()


def test_a_crd_is_added(live: World) -> None:
    """A report API that is added after the start is read within seconds."""
    live.cluster.apply(crds.open_reports())
    live.apply(report("web", result("appeared"), kind="Report"))
    live.await_states("appeared", web="ACTIVE")
    live.synced()


def test_a_watch_is_cut(live: World, gate: Gate) -> None:
    """Changes while a watch is resumed are not lost, and cost no list that archives anything."""
    live.apply(report("before", result("cut")))
    live.await_states("cut", before="ACTIVE")
    mark = live.mark()
    gate.cut("/apis/wgpolicyk8s.io")
    live.apply(report("meanwhile", result("cut")))
    live.await_states("cut", before="ACTIVE", meanwhile="ACTIVE")
    live.synced()
    assert [entry["outcome"] for entry in live.journal(mark)] == ["created"]


def test_errors_while_running(live: World, gate: Gate) -> None:
    """A watch that is cut and cannot be resumed while lists fail, and a failing discovery, archive nothing, and the
    condition says so; after the errors, deleted violations are archived and new ones found.
    """
    objects = workload("Deployment", "gone"), workload("Deployment", "kept")
    live.apply(*objects)
    kinds = {"listing": "PolicyReport", "discovery": "Report"}
    gone = [report("gone", result(policy), kind=kind) for policy, kind in kinds.items()]
    kept = [report("kept", result(policy), kind=kind) for policy, kind in kinds.items()]
    live.apply(*gone, *kept)
    for policy in kinds:
        live.await_states(policy, gone="ACTIVE", kept="ACTIVE")
    live.synced()
    listing = "/apis/wgpolicyk8s.io/v1alpha2/policyreports"
    with gate.intercepted(failing(listing, "/apis/openreports.io")):
        gate.cut(listing)
        live.delete(*gone)
        live.apply(*(report("new", result(policy), kind=kind) for policy, kind in kinds.items()))

        def message() -> str:
            return str(live.condition("SourcesComplete")["message"])

        live.until(lambda: f"{REPORTS}: 500" in message() and "openreports.io: 500" in message(), "both in the message")
        assert live.condition("SourcesComplete")["status"] == "False"
        outlast_the_delay(live, "clock-errors")
        assert live.states("listing") == {"gone": "ACTIVE", "kept": "ACTIVE"}
        assert live.states("discovery")["gone"] == "ACTIVE"
    live.delete(objects[0])
    for policy in kinds:
        live.await_states(policy, gone="ARCHIVED", kept="ACTIVE", new="ACTIVE")
    live.well()


@contextmanager
def without_policy_reports(world: World) -> Iterator[None]:
    """Delete the CRD of PolicyReports with all of them."""
    world.cluster.remove_crd("policyreports", "wgpolicyk8s.io")
    try:
        yield
    finally:
        world.cluster.apply(crds.policy_reports())


def test_a_crd_is_deleted(live: World) -> None:
    """A report CRD that is deleted with its reports archives nothing; the condition says Vanished. When it returns with
    the reports nothing is sent; a finding whose result did not return is archived when its object is deleted.
    """
    live.apply(workload("Deployment", "back"), workload("Deployment", "lost"))
    back, lost = report("back", result("crd")), report("lost", result("crd"))
    live.apply(back, lost)
    live.await_states("crd", back="ACTIVE", lost="ACTIVE")
    live.synced()
    mark = live.mark()
    with without_policy_reports(live):
        output = live.await_condition("SourcesComplete", "False", reason="Vanished")
        assert REPORTS in output["message"]
        live.until(lambda: complete(live, REPORTS) == 0, "the metric to change")
        outlast_the_delay(live, "clock-crd")
        assert live.states("crd") == {"back": "ACTIVE", "lost": "ACTIVE"}
        assert [entry for entry in live.journal(mark) if entry["id"] in ids(live, "crd")] == []
    live.apply(back)
    live.delete(workload("Deployment", "lost"))
    live.await_states("crd", back="ACTIVE", lost="ARCHIVED")
    live.synced()
    assert [entry["outcome"] for entry in live.journal(mark) if entry["id"] in ids(live, "crd")] == ["archived"]


def test_constraint_kinds_are_added_and_removed(live: World) -> None:
    """A new template's kind is read. A kind that is deleted with its constraints is no problem, but is reported; its
    findings are archived after two discoveries, an archive delay apart, without the kind.
    """
    kind = "K8sPassing"
    live.cluster.apply([crds.constraint(kind)])
    live.apply(constraint("passing", "pod-a", kind=kind))
    live.await_states(kind, **{"pod-a": "ACTIVE"})
    live.cluster.remove_crd(kind.lower(), "constraints.gatekeeper.sh")
    live.until(lambda: "no longer served" in live.condition("SourcesComplete")["message"], "the condition to report it")
    assert live.condition("SourcesComplete")["status"] == "True"
    live.await_states(kind, **{"pod-a": "ARCHIVED"})
    live.synced()


def ids(world: World, policy: str) -> set[str]:
    return {finding["Id"] for finding in world.of(policy).values()}
