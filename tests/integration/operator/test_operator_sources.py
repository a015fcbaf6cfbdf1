"""Sources that cannot be read, that fail, vanish and appear: nothing is archived on their silence, and it is told."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from aiohttp import web

from dev import crds
from tests.integration.operator.gate import Gate
from tests.integration.operator.world import KINDS, World, constraint, report, result

REPORTS = "policyreports.wgpolicyk8s.io"
DELAY = "1s"


def outlast_the_delay(world: World, name: str) -> None:
    """Return when a violation that goes missing after this call has been archived for that. It is a constraint's, which
    is judged by its own API alone.
    """
    world.apply(constraint(name, name))
    world.until(lambda: world.states(KINDS[0]).get(name) == "ACTIVE", f"{name} to be found")
    world.write_status(constraint(name))
    world.until(lambda: world.states(KINDS[0]).get(name) == "ARCHIVED", f"{name} to be archived")


def complete(world: World, source: str) -> float:
    return world.operator.metric("policyhub_source_complete", cluster="alpha", source=source)


def failing(path: str) -> Callable[[web.Request, bytes], web.Response | None]:
    """Answers 500 for what lies under the path."""

    def judge(request: web.Request, _: bytes) -> web.Response | None:
        if request.path != path:
            return None
        status = {"kind": "Status", "status": "Failure", "code": 500, "message": "etcdserver: no leader"}
        return web.json_response(status, status=500)

    return judge


def kubeconfig(world: World, gate: Gate, folder: Path) -> str:
    """The operator's own, but through the gate."""
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
def forbidden(world: World, _: Gate) -> Iterator[str]:
    """The ClusterRole without the rule for wgpolicyk8s.io."""
    role = next(d for d in world.installed.documents if d["kind"] == "ClusterRole")
    path = world.cluster.path(role)
    left = [rule for rule in role["rules"] if "wgpolicyk8s.io" not in rule["apiGroups"]]
    assert len(left) == len(role["rules"]) - 1
    world.cluster.request("PATCH", path, {"rules": left})
    try:
        yield "ListingForbidden"
    finally:
        world.cluster.request("PATCH", path, {"rules": role["rules"]})


@contextmanager
def broken(_: World, gate: Gate) -> Iterator[str]:
    """Listings that answer 500."""
    gate.judge = failing("/apis/wgpolicyk8s.io/v1alpha2/policyreports")
    try:
        yield "ListingFailed"
    finally:
        gate.judge = None


@pytest.mark.parametrize("trouble", [forbidden, broken])
def test_listing_refused_at_start(
    world: World, gate: Gate, tmp_path: Path, trouble: Callable[[World, Gate], AbstractContextManager[str]]
) -> None:
    """Where reports may not or cannot be listed, nothing of theirs is archived, a condition and a metric say why, and
    other sources go on; when they can be listed again, what is really gone is archived and nothing else is sent.
    """
    gone = report("gone", result("lost"))
    world.apply(gone, report("kept", result("lost")))
    world.monitor(archiveDelay=DELAY)
    world.start(KUBECONFIG=kubeconfig(world, gate, tmp_path))
    world.await_states("lost", gone="ACTIVE", kept="ACTIVE")
    world.operator.kill()
    world.delete(gone)
    with trouble(world, gate) as reason:
        world.start(KUBECONFIG=kubeconfig(world, gate, tmp_path))
        told = world.await_condition("SourcesComplete", "False", reason=reason)
        assert REPORTS in told["message"]
        assert world.condition("Ready")["status"] == "False"
        outlast_the_delay(world, "clock")
        assert world.states("lost") == {"gone": "ACTIVE", "kept": "ACTIVE"}
        metrics = world.operator.get("/metrics")
        assert f'policyhub_source_complete{{cluster="alpha",reason="{reason}",source="{REPORTS}"}} 0.0' in metrics
    mark = world.mark()
    world.await_states("lost", gone="ARCHIVED", kept="ACTIVE")
    world.synced()
    assert complete(world, REPORTS) == 1
    assert [entry["outcome"] for entry in world.journal(mark)] == ["archived"]


@pytest.fixture(scope="module")
def live(home: World, gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An operator that runs through the gate, in a cluster that serves no openreports yet."""
    home.clear()
    for plural in ("reports", "clusterreports"):
        home.drop_crd(plural, "openreports.io")
    home.monitor(archiveDelay=DELAY)
    home.start(KUBECONFIG=kubeconfig(home, gate, tmp_path_factory.mktemp("gate")))
    home.synced()
    yield home
    home.cluster.apply(crds.open_reports())
    home.clear()


def test_watch_that_is_cut(live: World, gate: Gate) -> None:
    """What happens while a watch is being resumed is not lost, and costs no listing that archives anything."""
    live.apply(report("before", result("cut")))
    live.await_states("cut", before="ACTIVE")
    mark = live.mark()
    gate.cut("/apis/wgpolicyk8s.io")
    live.apply(report("meanwhile", result("cut")))
    live.await_states("cut", before="ACTIVE", meanwhile="ACTIVE")
    live.synced()
    assert [entry["outcome"] for entry in live.journal(mark)] == ["created"]


@pytest.mark.parametrize(
    ("path", "reasons"),
    [
        ("/apis/wgpolicyk8s.io/v1alpha2/policyreports", {"WatchFailed", "ListingFailed", "Unreachable"}),
        ("/apis/wgpolicyk8s.io", {"DiscoveryFailed"}),
    ],
    ids=["watch and listing", "discovery"],
)
def test_errors_while_running(live: World, gate: Gate, path: str, reasons: set[str]) -> None:
    """Watches that are cut and answered with 500 like the listings after them, and a discovery that fails, archive
    nothing, and the condition says so; when the errors end, what went missing meanwhile is archived, what came is
    found.
    """
    policy = "errors-" + next(iter(sorted(reasons))).lower()
    gone = report("gone", result(policy))
    live.apply(gone, report("kept", result(policy)))
    live.await_states(policy, gone="ACTIVE", kept="ACTIVE")
    live.synced()
    gate.judge = failing(path)
    if path.endswith("policyreports"):
        gate.cut(path)
    live.delete(gone)
    live.apply(report("new", result(policy)))
    live.until(lambda: live.condition("SourcesComplete")["reason"] in reasons, f"a reason of {reasons}")
    assert "wgpolicyk8s.io" in live.condition("SourcesComplete")["message"]
    outlast_the_delay(live, f"clock-{policy}")
    assert live.states(policy)["gone"] == "ACTIVE"
    gate.judge = None
    live.await_states(policy, gone="ARCHIVED", kept="ACTIVE", new="ACTIVE")
    live.synced()


def test_crd_that_vanishes(live: World) -> None:
    """A report CRD that is deleted, and all reports with it, archives nothing; the condition says Vanished. When it is
    back with the reports nothing is sent; what did not come back with them is then archived.
    """
    back, lost = report("back", result("crd")), report("lost", result("crd"))
    live.apply(back, lost)
    live.await_states("crd", back="ACTIVE", lost="ACTIVE")
    live.synced()
    mark = live.mark()
    live.drop_crd("policyreports", "wgpolicyk8s.io")
    told = live.await_condition("SourcesComplete", "False", reason="Vanished")
    assert REPORTS in told["message"]
    assert complete(live, REPORTS) == 0
    outlast_the_delay(live, "clock-crd")
    assert live.states("crd") == {"back": "ACTIVE", "lost": "ACTIVE"}
    assert {entry["outcome"] for entry in live.journal(mark) if entry["id"] in ids(live, "crd")} == set()
    live.cluster.apply(crds.policy_reports())
    live.apply(back)
    live.await_states("crd", back="ACTIVE", lost="ARCHIVED")
    live.synced()
    assert [entry["outcome"] for entry in live.journal(mark) if entry["id"] in ids(live, "crd")] == ["archived"]


def test_crd_that_appears(live: World) -> None:
    """A report API that appears after the start is read within seconds."""
    live.cluster.apply(crds.open_reports())
    live.apply(report("web", result("appeared"), kind="Report"))
    live.await_states("appeared", web="ACTIVE")
    live.synced()


def test_constraint_kinds_come_and_go(live: World) -> None:
    """A new template's kind is read; one whose kind vanished archives nothing, and when it is back without the
    constraint its findings are archived.
    """
    kind = "K8sPassing"
    live.cluster.apply([crds.constraint(kind)])
    live.apply(constraint("passing", "pod-a", kind=kind))
    live.await_states(kind, **{"pod-a": "ACTIVE"})
    live.drop_crd(kind.lower(), "constraints.gatekeeper.sh")
    live.await_condition("SourcesComplete", "False", reason="Vanished")
    outlast_the_delay(live, "clock-kind")
    assert live.states(kind) == {"pod-a": "ACTIVE"}
    live.cluster.apply([crds.constraint(kind)])
    live.await_states(kind, **{"pod-a": "ARCHIVED"})
    live.synced()
    live.drop_crd(kind.lower(), "constraints.gatekeeper.sh")


def ids(world: World, policy: str) -> set[str]:
    return {finding["Id"] for finding in world.of(policy).values()}
