"""What the doctor finds in clusters, both ways: a problem by its name, and fine once it is mended."""

import time
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from dev import stand
from dev.cluster import ControlPlane
from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.doctor import access
from policyhub.doctor.result import CHECKS
from tests.integration.doctor.clinic import Clinic
from tests.integration.operator.world import World, constraint, report, result

HOUR = 3600


def stamp(age: float) -> dict[str, int]:
    return {"seconds": int(time.time() - age), "nanos": 0}


def audited(name: str, *pods: str, age: float = 0, total: int | None = None) -> dict[str, Any]:
    """A constraint whose last audit began so many seconds ago."""
    document = constraint(name, *pods, total=total)
    moment = datetime.fromtimestamp(time.time() - age, UTC)
    document["status"]["auditTimestamp"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return document


def apply(world: World, document: dict[str, Any]) -> None:
    """With its status."""
    world.apply(document)
    world.write_status(document)


def test_all_is_well(world: World, clinic: Clinic) -> None:
    """With the operator at work, engines that write and a hub that takes, every check is fine and the exit code 0."""
    world.apply(report("cart", result("require-labels")))
    apply(world, audited("repos", "a", "b"))
    operator = world.start()
    world.well()
    told = clinic.doctor("--metrics-url", f"http://127.0.0.1:{operator.port}/metrics", "--probe-import")
    assert [v for v in told.verdicts if v["state"] != "fine"] == []
    assert told.code == 0
    assert {v["check"] for v in told.verdicts} == CHECKS.keys()
    assert told.of("operator", about="alpha")[0]["found"].startswith("Ready is True, AllWell")


def test_words_for_people(world: World, clinic: Clinic) -> None:
    """Without -o json each problem is told with why it matters and how to mend it."""
    apply(world, audited("repos", "a", total=7))
    done = clinic.run("doctor")
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert "PROBLEM gatekeeper-limit alpha: 6 violations are not listed: k8sallowedrepos/repos lists 1 of 7" in said
    assert "why violations beyond the limit of a constraint's list do not reach Security Hub" in said
    assert "fix raise --constraint-violations-limit" in said
    assert "problems, 0 not checked," in said


# -- access -----------------------------------------------------------------------------------------------------------


def granted(world: World) -> set[str]:
    """What the chart's roles allow, in the doctor's words."""
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


def test_what_is_asked_for_is_what_the_chart_grants(world: World) -> None:
    """The doctor asks for every permission of the chart's roles, and for no other."""
    secret = {"kubeconfigSecretRef": {"namespace": stand.NAMESPACE, "name": "beta"}}
    spec = {"connection": secret, "deletionPolicy": "Archive"}
    beta = MonitoredCluster.model_validate({"metadata": {"name": "beta"}, "spec": spec})
    asked = {*access.of_monitored(beta), *access.of_home([beta], lease=None)}
    assert {str(need) for need in asked} == granted(world)


def test_the_chart_gives_all_that_is_asked_for(clinic: Clinic) -> None:
    """The operator's own service account, asking for itself, may do everything."""
    assert clinic.doctor().states("api-access") == ["fine", "fine"]


def test_an_account_without_roles_is_told_what_it_lacks(world: World, clinic: Clinic, tmp_path: Path) -> None:
    """Each part of the permissions that is missing is a problem with its own remedy."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody", "namespace": "default"}}
    world.apply(account)
    config = clinic.kubeconfig(world.cluster.kubeconfig_for(namespace="default", service_account="nobody"), "nobody")
    told = clinic.doctor("--account-id", stand.ACCOUNT, "--region", stand.REGION, kubeconfig=config)
    (lacking,) = told.of("api-access", about="this process")
    assert "list monitoredclusters.policyhub.dev" in lacking["found"]
    assert told.states("monitored-clusters") == ["unchecked"]
    assert told.states("get-findings") == ["fine"]


def test_an_admin_asks_for_the_operators_account(world: World, clinic: Clinic) -> None:
    """From outside, the permissions of the operator's service account are asked for, not those of the admin."""
    world.monitor(rollUp=True)
    admin = clinic.kubeconfig(world.cluster.kubeconfig(), "admin")
    own = clinic.doctor("--service-account", "policyhub/policyhub", kubeconfig=admin)
    assert own.states("api-access") == ["fine", "fine"]
    other = clinic.doctor("--service-account", "default/default", kubeconfig=admin)
    found = " ".join(v["found"] for v in other.of("api-access", about="alpha"))
    for needed in ("list policyreports.wgpolicyk8s.io", "watch *.constraints.gatekeeper.sh", "list pods"):
        assert needed in found
    assert {v["remedy"].split()[0] for v in other.of("api-access", about="alpha")} == {"bind", "set"}
    assert clinic.doctor("--service-account", "policyhub/policyhub").states("api-access") == ["unchecked"] * 2


# -- the cluster ------------------------------------------------------------------------------------------------------


def test_a_bare_cluster(plane: ControlPlane, world: World, tmp_path: Path) -> None:
    """Without an engine, a MonitoredCluster, or an operator, each is said by its name."""
    cluster = plane.cluster("bare")
    installed = stand.install(cluster, tmp_path, values={"clusterName": "alpha"})
    clinic = Clinic(World(installed, world.hub), tmp_path)
    told = clinic.doctor()
    assert "the cluster serves none of the APIs" in told.problem("sources")["found"]
    assert told.problem("operator")["found"] == "the operator has written no status yet"
    assert told.states("engines") == []
    cluster.request("DELETE", "/apis/policyhub.dev/v1alpha1/monitoredclusters/alpha")
    assert clinic.doctor().problem("monitored-clusters")["found"] == "there is no MonitoredCluster; existing: none"


def test_a_cluster_that_cannot_be_reached(world: World, clinic: Clinic) -> None:
    """A kubeconfig that leads nowhere is a problem of that cluster; the others are looked at all the same."""
    reference = {"kubeconfigSecretRef": {"namespace": stand.NAMESPACE, "name": "beta"}}
    world.monitor("beta", connection=reference)
    missing = [v for v in clinic.doctor().of("connection", about="beta") if v["state"] == "problem"]
    assert missing[0]["found"] == "Secret policyhub/beta does not exist"
    assert "create secret generic beta --from-file=kubeconfig=FILE" in missing[0]["remedy"]
    config = world.cluster.kubeconfig_for(namespace=stand.NAMESPACE, service_account="policyhub")
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "beta", "namespace": stand.NAMESPACE},
        "stringData": {"kubeconfig": clinic.kubeconfig(config, "beta").read_text()},
    }
    world.apply(secret)
    told = clinic.doctor()
    assert "https://127.0.0.1:9 does not answer" in told.problem("connection")["found"]
    assert told.states("connection", about="alpha") == ["fine"]
    assert clinic.doctor("alpha").states("connection") == ["fine"]


def test_a_monitoredcluster_that_is_not_there(clinic: Clinic) -> None:
    """A name that nobody has is a problem, and those that are there are named."""
    assert "no MonitoredCluster gamma; existing: alpha" in clinic.doctor("gamma").problem("monitored-clusters")["found"]


def test_a_kubeconfig_that_cannot_be_used(clinic: Clinic, tmp_path: Path) -> None:
    """Where no cluster can be asked, that is said, and the exit code is 2: nothing was found wrong."""
    told = clinic.doctor(kubeconfig=tmp_path / "nowhere")
    assert (told.code, [v["state"] for v in told.verdicts]) == (2, ["unchecked"])


def test_clocks_that_differ(clinic: Clinic) -> None:
    """Ten minutes ahead are told of API server and AWS alike; the same clock is fine."""
    told = clinic.doctor(environ=clinic.later(600))
    assert told.states("clock") == ["problem", "problem"]
    assert "ahead of the server's" in told.of("clock")[0]["found"]
    assert clinic.doctor().states("clock") == ["fine", "fine"]


def test_what_the_operator_says(world: World, clinic: Clinic) -> None:
    """A condition that is not well is repeated with its reason; a status of an older generation is no word at all."""
    world.start()
    world.well()
    world.hub.fault("access_denied", operation="BatchImportFindings")
    world.apply(report("cart", result("require-labels")))
    world.await_condition("Ready", "False")
    assert "Ready is False, AccessDenied" in clinic.doctor().problem("operator")["found"]
    world.end()
    world.monitor(mode="NoArchive")
    assert "the status describes generation" in clinic.doctor().problem("operator")["found"]


# -- proxies and certificates -----------------------------------------------------------------------------------------


def test_a_proxy_before_the_api_server(clinic: Clinic) -> None:
    """A range in NO_PROXY does not count for Python: the API server is asked through the proxy, and that is said."""
    through = {"HTTPS_PROXY": "http://someone:secret@127.0.0.1:9", "NO_PROXY": "127.0.0.0/8", "no_proxy": "127.0.0.0/8"}
    told = clinic.doctor(environ=through)
    found = told.problem("proxy")
    assert "NO_PROXY has the range 127.0.0.0/8" in found["found"]
    assert "secret" not in found["found"]
    assert "add 127.0.0.1 itself to NO_PROXY" in found["remedy"]
    direct = clinic.doctor(environ={**through, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"})
    assert (direct.states("proxy"), direct.states("connection")) == (["fine"], ["fine"])


def test_a_bundle_that_is_not_there(clinic: Clinic, world: World, tmp_path: Path) -> None:
    """A bundle that cannot be read is named with its variable; one that can is counted."""
    told = clinic.doctor(environ={"AWS_CA_BUNDLE": str(tmp_path / "missing.pem")})
    assert "AWS_CA_BUNDLE (for AWS) names" in told.problem("certificates")["found"]
    bundle = tmp_path / "ca.pem"
    bundle.write_text(str(world.cluster.ca))
    assert {*clinic.doctor(environ={"AWS_CA_BUNDLE": str(bundle)}).states("certificates")} == {"fine"}


# -- engines ----------------------------------------------------------------------------------------------------------


def test_an_engine_that_is_silent(world: World, clinic: Clinic) -> None:
    """Kyverno's newest result five hours old means that it has stopped; where it may rest for a day, it has not."""
    world.apply(report("cart", result("require-labels", timestamp=stamp(5 * HOUR))))
    told = clinic.doctor().problem("engines")
    assert told["found"] == "the newest result of kyverno is 5 h old, and it should be 3 h at most"
    assert "kyverno-reports-controller" in told["remedy"]
    assert clinic.doctor("--silent-after", "kyverno=1d").states("engines") == ["fine"]
    world.apply(report("till", result("require-labels")))
    assert clinic.doctor().states("engines") == ["fine"]


def test_an_engine_that_writes_once_a_day(world: World, clinic: Clinic) -> None:
    """An engine that nobody knows may be quiet for a day; one that is so by its nature for as long as is said. Trivy's
    times of configuration audits stand still; engines that are left out are not missed.
    """
    named = {"engine": "Some Scanner", "still": "Trivy ConfigAudit", "excluded": "Falco"}
    world.apply(
        *(report(name, result("x", source=source, timestamp=stamp(25 * HOUR))) for name, source in named.items())
    )
    assert clinic.doctor().states("engines") == ["fine", "fine"]
    world.apply(
        *(report(name, result("x", source=source, timestamp=stamp(90 * HOUR))) for name, source in named.items())
    )
    assert "'--silent-after=Some Scanner=" in clinic.doctor().problem("engines")["remedy"]
    assert clinic.doctor("--silent-after", "some=5d").states("engines") == ["fine", "fine"]


def test_frozen_reports(world: World, clinic: Clinic) -> None:
    """Reports that Kyverno left in one API when it went to the other are told, with the command that shows them."""
    world.apply(report("cart", result("require-labels"), kind="Report"))
    assert clinic.doctor().states("superseded-reports") == ["fine"]
    world.apply(report("cart", result("require-labels", timestamp=stamp(10 * HOUR))))
    found = clinic.doctor().problem("superseded-reports")
    assert found["found"] == "kyverno now writes to openreports.io and has left outdated reports in wgpolicyk8s.io"
    assert "kubectl get policyreports.wgpolicyk8s.io," in found["remedy"]


def test_gatekeepers_limit(world: World, clinic: Clinic) -> None:
    """A list that is shorter than its count is told with the limit that would hold it."""
    apply(world, audited("repos", "a", "b", total=52))
    found = clinic.doctor().problem("gatekeeper-limit")
    assert found["found"] == "50 violations are not listed: k8sallowedrepos/repos lists 2 of 52"
    assert "to 52" in found["remedy"]
    apply(world, audited("repos", "a", "b"))
    assert clinic.doctor().states("gatekeeper-limit") == ["fine"]


def test_gatekeepers_audit(world: World, clinic: Clinic) -> None:
    """No audit, one that stopped, and a constraint that is left out are three different words; a fresh one is fine."""
    world.apply({key: value for key, value in audited("repos").items() if key != "status"})
    assert (
        "has not audited any constraint yet: k8sallowedrepos/repos"
        in clinic.doctor().problem("gatekeeper-audit")["found"]
    )
    apply(world, audited("repos", "a", age=HOUR))
    assert clinic.doctor().problem("gatekeeper-audit")["found"].startswith("Gatekeeper's last audit began 1 h")
    apply(world, audited("repos", "a"))
    assert clinic.doctor().states("gatekeeper-audit") == ["fine"]
    world.apply({key: value for key, value in audited("registries").items() if key != "status"})
    assert "not audited: k8sallowedrepos/registries" in clinic.doctor().problem("gatekeeper-audit")["found"]


@pytest.mark.parametrize("given", [["--silent-after", "kyverno"], ["--service-account", "policyhub"]])
def test_a_flag_that_makes_no_sense(clinic: Clinic, given: list[str]) -> None:
    """A wrong flag ends with 2 before anything is asked."""
    done = clinic.run("doctor", *given)
    assert (done.returncode, done.stdout) == (2, "")
    assert given[0] in done.stderr
