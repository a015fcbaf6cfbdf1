"""Each check of the doctor on clusters reports its problem, and is fine after the fix."""

import time
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from dev import testbed
from dev.cluster import ControlPlane
from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.doctor import access
from policyhub.doctor.result import CHECKS
from tests.integration.doctor.cli import DoctorCli
from tests.integration.operator.world import World, constraint, report, result

HOUR = 3600


def stamp(age: float) -> dict[str, int]:
    return {"seconds": int(time.time() - age), "nanos": 0}


def audited(name: str, *pods: str, age: float = 0, total: int | None = None) -> dict[str, Any]:
    """A constraint whose last audit started this many seconds ago."""
    document = constraint(name, *pods, total=total)
    moment = datetime.fromtimestamp(time.time() - age, UTC)
    document["status"]["auditTimestamp"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return document


def apply(world: World, document: dict[str, Any]) -> None:
    """Apply with the status."""
    world.apply(document)
    world.write_status(document)


def test_a_healthy_cluster_has_no_problem(world: World, cli: DoctorCli) -> None:
    """With a running operator, active engines and a hub that accepts findings, every check is fine and the exit code is
    0.
    """
    world.apply(report("cart", result("require-labels")))
    apply(world, audited("repos", "a", "b"))
    operator = world.start()
    world.well()
    output = cli.doctor("--metrics-url", f"http://127.0.0.1:{operator.port}/metrics", "--probe-import")
    assert [v for v in output.verdicts if v["state"] != "fine"] == []
    assert output.code == 0
    assert {v["check"] for v in output.verdicts} == CHECKS.keys()
    assert output.of("operator", about="alpha")[0]["found"].startswith("Ready is True, AllWell")


def test_text_output(world: World, cli: DoctorCli) -> None:
    """Without -o json each problem is printed with its consequence and its fix."""
    apply(world, audited("repos", "a", total=7))
    done = cli.run("doctor")
    assert done.returncode == 1
    reported = " ".join(done.stdout.split())
    assert "PROBLEM gatekeeper-limit alpha: 6 violations are not listed: k8sallowedrepos/repos lists 1 of 7" in reported
    assert "why violations beyond the limit of a constraint's list do not reach Security Hub" in reported
    assert "fix raise --constraint-violations-limit" in reported
    assert "problems, 0 not checked," in reported


# -- access -----------------------------------------------------------------------------------------------------------


def granted(world: World) -> set[str]:
    """The permissions that the chart's roles grant, in the doctor's format."""
    found = set()
    for document in world.installed.documents:
        if document["kind"] not in {"ClusterRole", "Role"}:
            continue
        namespace = document["metadata"].get("namespace", "")
        for rule in document["rules"]:
            for group, resource, verb in product(rule["apiGroups"], rule["resources"], rule["verbs"]):
                for name in rule.get("resourceNames", [""]):
                    found.add(str(access.Need("", verb, resource, group, name, namespace)))
    return found


def test_the_doctor_checks_the_charts_permissions(world: World) -> None:
    """It checks every permission of the chart's roles, and no other."""
    secret = {"kubeconfigSecretRef": {"namespace": testbed.NAMESPACE, "name": "beta"}}
    spec = {"connection": secret, "deletionPolicy": "Archive"}
    beta = MonitoredCluster.model_validate({"metadata": {"name": "beta"}, "spec": spec})
    asked = {*access.of_monitored(beta), *access.of_home([beta], lease=None)}
    assert {str(need) for need in asked} == granted(world)


def test_the_chart_grants_all_checked_permissions(cli: DoctorCli) -> None:
    """Checked with the operator's own service account."""
    assert cli.doctor().states("api-access") == ["fine", "fine"]


def test_missing_permissions_are_problems(world: World, cli: DoctorCli, tmp_path: Path) -> None:
    """Each missing group of permissions is a problem with its own remedy."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody", "namespace": "default"}}
    world.apply(account)
    config = cli.kubeconfig(world.cluster.kubeconfig_for(namespace="default", service_account="nobody"), "nobody")
    output = cli.doctor("--account-id", testbed.ACCOUNT, "--region", testbed.REGION, kubeconfig=config)
    (lacking,) = output.of("api-access", about="this process")
    assert "list monitoredclusters.policyhub.dev" in lacking["found"]
    assert output.states("monitored-clusters") == ["unchecked"]
    assert output.states("get-findings") == ["fine"]


def test_an_admin_checks_the_operators_account(world: World, cli: DoctorCli) -> None:
    """Outside the cluster the doctor checks the permissions of the operator's service account, not those of the
    admin.
    """
    world.monitor(rollUp=True)
    admin = cli.kubeconfig(world.cluster.kubeconfig(), "admin")
    own = cli.doctor("--service-account", "policyhub/policyhub", kubeconfig=admin)
    assert own.states("api-access") == ["fine", "fine"]
    other = cli.doctor("--service-account", "default/default", kubeconfig=admin)
    found = " ".join(v["found"] for v in other.of("api-access", about="alpha"))
    for needed in ("list policyreports.wgpolicyk8s.io", "watch *.constraints.gatekeeper.sh", "list pods"):
        assert needed in found
    assert {v["remedy"].split()[0] for v in other.of("api-access", about="alpha")} == {"bind", "set"}
    assert cli.doctor("--service-account", "policyhub/policyhub").states("api-access") == ["unchecked"] * 2


# -- the cluster ------------------------------------------------------------------------------------------------------


def test_a_bare_cluster(plane: ControlPlane, world: World, tmp_path: Path) -> None:
    """Without an engine, a MonitoredCluster or an operator, each is reported separately."""
    cluster = plane.cluster("bare")
    installed = testbed.install(cluster, tmp_path, values={"clusterName": "alpha"})
    cli = DoctorCli(World(installed, world.hub), tmp_path)
    output = cli.doctor()
    assert "the cluster serves none of the APIs" in output.problem("sources")["found"]
    assert output.problem("operator")["found"] == "the operator has written no status yet"
    assert output.states("engines") == []
    cluster.request("DELETE", "/apis/policyhub.dev/v1alpha1/monitoredclusters/alpha")
    assert cli.doctor().problem("monitored-clusters")["found"] == "there is no MonitoredCluster; existing: none"


def test_an_unreachable_cluster(world: World, cli: DoctorCli) -> None:
    """A kubeconfig with a wrong address is a problem of that cluster; the others are checked all the same."""
    reference = {"kubeconfigSecretRef": {"namespace": testbed.NAMESPACE, "name": "beta"}}
    world.monitor("beta", connection=reference)
    missing = [v for v in cli.doctor().of("connection", about="beta") if v["state"] == "problem"]
    assert missing[0]["found"] == "Secret policyhub/beta does not exist"
    assert "create secret generic beta --from-file=kubeconfig=FILE" in missing[0]["remedy"]
    config = world.cluster.kubeconfig_for(namespace=testbed.NAMESPACE, service_account="policyhub")
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "beta", "namespace": testbed.NAMESPACE},
        "stringData": {"kubeconfig": cli.kubeconfig(config, "beta").read_text()},
    }
    world.apply(secret)
    output = cli.doctor()
    assert "https://127.0.0.1:9 does not answer" in output.problem("connection")["found"]
    assert output.states("connection", about="alpha") == ["fine"]
    assert cli.doctor("alpha").states("connection") == ["fine"]


def test_an_unknown_monitoredcluster(cli: DoctorCli) -> None:
    """An unknown name is a problem, and the existing names are listed."""
    assert "no MonitoredCluster gamma; existing: alpha" in cli.doctor("gamma").problem("monitored-clusters")["found"]


def test_an_unusable_kubeconfig(cli: DoctorCli, tmp_path: Path) -> None:
    """If no cluster can be reached, the doctor says so and exits with 2, because it found nothing wrong."""
    output = cli.doctor(kubeconfig=tmp_path / "nowhere")
    assert (output.code, [v["state"] for v in output.verdicts]) == (2, ["unchecked"])


def test_clocks_that_differ(cli: DoctorCli) -> None:
    """Ten minutes ahead is a problem for API server and AWS alike; an equal clock is fine."""
    output = cli.doctor(environ=cli.later(600))
    assert output.states("clock") == ["problem", "problem"]
    assert "ahead of the server's" in output.of("clock")[0]["found"]
    assert cli.doctor().states("clock") == ["fine", "fine"]


def test_conditions_of_the_operator(world: World, cli: DoctorCli) -> None:
    """A bad condition is repeated with its reason; a status of an older generation is ignored."""
    world.start()
    world.well()
    world.hub.fault("access_denied", operation="BatchImportFindings")
    world.apply(report("cart", result("require-labels")))
    world.await_condition("Ready", "False")
    assert "Ready is False, AccessDenied" in cli.doctor().problem("operator")["found"]
    world.end()
    world.monitor(mode="NoArchive")
    assert "the status describes generation" in cli.doctor().problem("operator")["found"]


# -- proxies and certificates -----------------------------------------------------------------------------------------


def test_a_proxy_to_the_api_server(cli: DoctorCli) -> None:
    """Python ignores address ranges in NO_PROXY: the API server is reached through the proxy, and the doctor says
    so.
    """
    through = {"HTTPS_PROXY": "http://someone:secret@127.0.0.1:9", "NO_PROXY": "127.0.0.0/8", "no_proxy": "127.0.0.0/8"}
    output = cli.doctor(environ=through)
    found = output.problem("proxy")
    assert "NO_PROXY has the range 127.0.0.0/8" in found["found"]
    assert "secret" not in found["found"]
    assert "add 127.0.0.1 itself to NO_PROXY" in found["remedy"]
    direct = cli.doctor(environ={**through, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"})
    assert (direct.states("proxy"), direct.states("connection")) == (["fine"], ["fine"])


def test_a_missing_ca_bundle(cli: DoctorCli, world: World, tmp_path: Path) -> None:
    """An unreadable bundle is reported with its variable; a readable one is counted."""
    output = cli.doctor(environ={"AWS_CA_BUNDLE": str(tmp_path / "missing.pem")})
    assert "AWS_CA_BUNDLE (for AWS) names" in output.problem("certificates")["found"]
    bundle = tmp_path / "ca.pem"
    bundle.write_text(str(world.cluster.ca))
    assert {*cli.doctor(environ={"AWS_CA_BUNDLE": str(bundle)}).states("certificates")} == {"fine"}


# -- engines ----------------------------------------------------------------------------------------------------------


def test_a_silent_engine(world: World, cli: DoctorCli) -> None:
    """Kyverno's newest result is five hours old, so it has stopped; if it may be silent for a day, it has not."""
    world.apply(report("cart", result("require-labels", timestamp=stamp(5 * HOUR))))
    output = cli.doctor().problem("engines")
    assert output["found"] == "the newest result of kyverno is 5 h old, and it should be 3 h at most"
    assert "kyverno-reports-controller" in output["remedy"]
    assert cli.doctor("--silent-after", "kyverno=1d").states("engines") == ["fine"]
    world.apply(report("till", result("require-labels")))
    assert cli.doctor().states("engines") == ["fine"]


def test_an_engine_that_writes_once_a_day(world: World, cli: DoctorCli) -> None:
    """An unknown engine may be silent for a day; a slow one as long as configured. Times of Trivy's configuration
    audits do not change; excluded engines are not missed.
    """
    named = {"engine": "Some Scanner", "still": "Trivy ConfigAudit", "excluded": "Falco"}
    world.apply(
        *(report(name, result("x", source=source, timestamp=stamp(25 * HOUR))) for name, source in named.items())
    )
    assert cli.doctor().states("engines") == ["fine", "fine"]
    world.apply(
        *(report(name, result("x", source=source, timestamp=stamp(90 * HOUR))) for name, source in named.items())
    )
    assert "'--silent-after=Some Scanner=" in cli.doctor().problem("engines")["remedy"]
    assert cli.doctor("--silent-after", "some=5d").states("engines") == ["fine", "fine"]


def test_superseded_reports(world: World, cli: DoctorCli) -> None:
    """Reports that Kyverno left in one API when it switched to the other are a problem, with the command that shows
    them.
    """
    world.apply(report("cart", result("require-labels"), kind="Report"))
    assert cli.doctor().states("superseded-reports") == ["fine"]
    world.apply(report("cart", result("require-labels", timestamp=stamp(10 * HOUR))))
    found = cli.doctor().problem("superseded-reports")
    assert found["found"] == "kyverno now writes to openreports.io and has left outdated reports in wgpolicyk8s.io"
    assert "kubectl get policyreports.wgpolicyk8s.io," in found["remedy"]


def test_gatekeepers_limit(world: World, cli: DoctorCli) -> None:
    """A list that is shorter than its count is a problem; the remedy has a sufficient limit."""
    apply(world, audited("repos", "a", "b", total=52))
    found = cli.doctor().problem("gatekeeper-limit")
    assert found["found"] == "50 violations are not listed: k8sallowedrepos/repos lists 2 of 52"
    assert "to 52" in found["remedy"]
    apply(world, audited("repos", "a", "b"))
    assert cli.doctor().states("gatekeeper-limit") == ["fine"]


def test_gatekeepers_audit(world: World, cli: DoctorCli) -> None:
    """A missing audit, a stopped audit and an excluded constraint have three different messages; a recent audit is
    fine.
    """
    world.apply({key: value for key, value in audited("repos").items() if key != "status"})
    assert (
        "has not audited any constraint yet: k8sallowedrepos/repos" in cli.doctor().problem("gatekeeper-audit")["found"]
    )
    apply(world, audited("repos", "a", age=HOUR))
    assert cli.doctor().problem("gatekeeper-audit")["found"].startswith("Gatekeeper's last audit began 1 h")
    apply(world, audited("repos", "a"))
    assert cli.doctor().states("gatekeeper-audit") == ["fine"]
    world.apply({key: value for key, value in audited("registries").items() if key != "status"})
    assert "not audited: k8sallowedrepos/registries" in cli.doctor().problem("gatekeeper-audit")["found"]


@pytest.mark.parametrize("given", [["--silent-after", "kyverno"], ["--service-account", "policyhub"]])
def test_invalid_flags(cli: DoctorCli, given: list[str]) -> None:
    """A wrong flag ends with 2 before any request."""
    done = cli.run("doctor", *given)
    assert (done.returncode, done.stdout) == (2, "")
    assert given[0] in done.stderr
