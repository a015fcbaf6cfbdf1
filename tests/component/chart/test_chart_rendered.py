"""The chart, rendered by the real helm."""

import json
import os
import re
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.chart import golden
from dev.chart.values import parse as parse_values
from dev.cluster.helm import HelmError, lint, render
from policyhub.api.monitoredcluster import MonitoredCluster
from policyhub.api.selector import parse
from policyhub.cluster.sinks import namespaces
from policyhub.model.policy_apis import ASKED_POLICIES, POLICY_APIS
from policyhub.model.source_apis import SOURCE_APIS, Shape
from policyhub.securityhub.credentials import Clients
from policyhub.settings import Settings
from policyhub.sync.existence import OTHER_KINDS, WATCHED_KINDS
from policyhub.sync.owners import CONTROLLERS, RESOURCES

HERE = Path(__file__).parent
CHART = HERE.parents[2] / "charts/policyhub"
HUB = {"accountId": "011122223333", "region": "eu-west-1"}
OTHER = {"spec": {"connection": {"kubeconfigSecretRef": {"namespace": "b", "name": "three"}}}}
ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/Prod_EU"
GOV_ARN = "arn:aws-us-gov:eks:us-gov-west-1:111122223333:cluster/prod"

Document = dict[str, Any]
Values = dict[str, Any]


def objects(values: Values | None = None) -> list[Document]:
    return render(CHART, "policyhub", "security", values or {})


def of_kind(documents: list[Document], kind: str) -> list[Document]:
    return [document for document in documents if document["kind"] == kind]


def one(documents: list[Document], kind: str) -> Document:
    (found,) = of_kind(documents, kind)
    return found


@pytest.mark.parametrize("name", golden.names(HERE))
def test_renderings_equal_the_committed_ones(name: str) -> None:
    """For each set of values. `python -m dev.chart` writes them again, for review."""
    expected = (HERE / "golden" / f"{name}.yaml").read_text("utf-8")
    assert golden.render(CHART, HERE, name) == expected


def test_each_rendering_has_a_set_of_values() -> None:
    """There are at least twelve sets, and no rendering without one."""
    assert len(golden.names(HERE)) >= 12
    assert sorted(path.stem for path in (HERE / "golden").glob("*.yaml")) == golden.names(HERE)


ELSEWHERE = {"prometheusRule", "dashboards"}
"""These values add the chart's own files, too long for another review: the integration tests apply them."""


def test_each_value_is_in_a_set() -> None:
    """So that the API server, which validates the sets, has seen the effect of each value."""
    every = [value for top in parse_values((CHART / "values.yaml").read_text("utf-8")) for value in top.walk()]
    sets = [yaml.safe_load((HERE / "values" / f"{name}.yaml").read_text("utf-8")) for name in golden.names(HERE)]
    missing = [
        value.name
        for value in every
        if not value.children and value.path[0] not in ELSEWHERE and not any(given(one, value.path) for one in sets)
    ]
    assert missing == []


def given(values: Any, path: tuple[str, ...]) -> bool:
    """Whether these values set something at that path."""
    for part in path:
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


@pytest.mark.parametrize("name", golden.names(HERE))
def test_helm_lints_it(name: str) -> None:
    """`helm lint --strict` has no complaint with any set of values."""
    assert "0 chart(s) failed" in lint(CHART, values=HERE / "values" / f"{name}.yaml")


def test_without_values() -> None:
    """Without values the operator watches nothing, and there is no MonitoredCluster."""
    documents = objects()
    assert [document["kind"] for document in documents] == [
        "CustomResourceDefinition",
        "CustomResourceDefinition",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "Service",
        "Deployment",
    ]


@pytest.mark.parametrize(
    ("values", "name", "identity"),
    [
        pytest.param({"clusterName": "prod-eu"}, "prod-eu", "prod-eu", id="name"),
        pytest.param({"clusterArn": ARN}, "prod-eu", ARN, id="arn"),
        pytest.param({"clusterName": "shop", "clusterArn": ARN}, "shop", ARN, id="both"),
    ],
)
def test_cluster_account_and_region(values: Values, name: str, identity: str) -> None:
    """Cluster, account and Region give the MonitoredCluster of this cluster."""
    document = one(objects({**values, "securityHub": HUB}), "MonitoredCluster")
    cluster = MonitoredCluster.model_validate(document)
    assert cluster.metadata.name == name
    assert cluster.identity == identity
    assert cluster.spec.connection.in_cluster is not None
    assert cluster.spec.security_hub.account_id == "011122223333"
    assert cluster.spec.security_hub.region == "eu-west-1"
    assert cluster.spec.security_hub.role_arn is None


@pytest.mark.parametrize(
    ("values", "hub"),
    [
        pytest.param({}, ("111122223333", "us-gov-west-1"), id="its own account and Region"),
        pytest.param(
            {"securityHub": {"accountId": "999988887777"}}, ("999988887777", "us-gov-west-1"), id="a central account"
        ),
        pytest.param(
            {"securityHub": {"region": "us-gov-east-1"}}, ("111122223333", "us-gov-east-1"), id="another Region"
        ),
        pytest.param({"securityHub": HUB}, ("011122223333", "eu-west-1"), id="both"),
    ],
)
def test_an_arn_gives_account_and_region(values: Values, hub: tuple[str, str]) -> None:
    """ClusterArn fills empty values of securityHub, in the MonitoredCluster and in the operator's defaults."""
    documents = objects({"clusterArn": GOV_ARN, **values})
    cluster = MonitoredCluster.model_validate(one(documents, "MonitoredCluster"))
    assert cluster.metadata.name == "prod"
    assert (cluster.spec.security_hub.account_id, cluster.spec.security_hub.region) == hub
    variables = environment(documents)
    assert (variables["POLICYHUB_ACCOUNT_ID"], variables["POLICYHUB_REGION"], variables["AWS_REGION"]) == (*hub, hub[1])


def test_an_arn_gives_the_defaults_of_other_clusters() -> None:
    """Even if the MonitoredCluster of this cluster is not created."""
    documents = objects({"clusterArn": GOV_ARN, "monitoredCluster": {"enabled": False}})
    assert not of_kind(documents, "MonitoredCluster")
    assert environment(documents)["POLICYHUB_ACCOUNT_ID"] == "111122223333"


def test_further_spec_fields() -> None:
    """Other fields of the spec pass through; clusterArn and securityHub override them."""
    spec = {"mode": "DryRun", "namespaces": {"exclude": ["kube-*"]}, "securityHub": {"region": "us-east-1"}}
    values = {"clusterName": "a", "securityHub": HUB, "monitoredCluster": {"spec": spec}}
    cluster = MonitoredCluster.model_validate(one(objects(values), "MonitoredCluster"))
    assert cluster.spec.mode == "DryRun"
    assert cluster.spec.namespaces.exclude == ("kube-*",)
    assert cluster.spec.security_hub.region == "eu-west-1"


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({"clusterName": "a"}, "securityHub.accountId and securityHub.region"),
        ({"clusterName": "a", "securityHub": {"accountId": "111122223333"}}, "securityHub.region"),
        ({"securityHub": HUB}, "clusterName"),
        ({"monitoredCluster": {"spec": {"mode": "DryRun"}}}, "clusterName and securityHub.accountId and"),
    ],
)
def test_incomplete_values_are_an_error(values: Values, missing: str) -> None:
    """The message names clusterArn, which is sufficient, and the missing values."""
    example = r"--set clusterArn=arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu\n\nFor any other cluster also set "
    with pytest.raises(HelmError, match=example + missing):
        objects(values)


def test_an_operator_without_its_own_monitored_cluster() -> None:
    """With monitoredCluster.enabled=false account and Region are the operator's defaults, and nothing is missing."""
    documents = objects({"securityHub": HUB, "monitoredCluster": {"enabled": False}})
    assert not of_kind(documents, "MonitoredCluster")
    assert environment(documents)["POLICYHUB_ACCOUNT_ID"] == "011122223333"


NAMESPACES = ("", "", "namespaces", "list watch")


OWNERS = (
    ("", "", "pods replicationcontrollers", "list watch"),
    ("", "apps", "replicasets deployments statefulsets daemonsets", "list watch"),
    ("", "batch", "jobs cronjobs", "list watch"),
)

SOURCES = tuple(("", api.group, " ".join(api.resources), "list watch") for api in SOURCE_APIS)
POLICIES = tuple(("", api.group, " ".join(api.resources), "list watch") for api in POLICY_APIS)

FINALIZERS = ("", "policyhub.dev", "monitoredclusters", "patch")
CORE = "limitranges nodes persistentvolumeclaims resourcequotas serviceaccounts services"
EXISTENCE = (
    ("", "", "namespaces pods replicationcontrollers", "get"),
    ("", "apps", "daemonsets deployments replicasets statefulsets", "get"),
    ("", "batch", "cronjobs jobs", "get"),
    ("", "", CORE, "get list"),
    ("", "autoscaling", "horizontalpodautoscalers", "get list"),
    ("", "networking.k8s.io", "ingresses networkpolicies", "get list"),
    ("", "policy", "poddisruptionbudgets", "get list"),
    ("", "rbac.authorization.k8s.io", "clusterrolebindings clusterroles rolebindings roles", "get list"),
    *(("", api.group, " ".join(api.resources), "list") for api in POLICY_APIS if api.behind is Shape.REPORT),
)


@pytest.mark.parametrize(
    ("rbac", "more"),
    [
        ({}, (NAMESPACES, *OWNERS, *POLICIES, *EXISTENCE, FINALIZERS)),
        ({"namespaces": False}, (*OWNERS, *POLICIES, *EXISTENCE, FINALIZERS)),
        ({"rollUp": False}, (NAMESPACES, *POLICIES, *EXISTENCE, FINALIZERS)),
        ({"enrichment": False}, (NAMESPACES, *OWNERS, *EXISTENCE, FINALIZERS)),
        ({"existence": False}, (NAMESPACES, *OWNERS, *POLICIES, FINALIZERS)),
        ({"finalizers": False}, (NAMESPACES, *OWNERS, *POLICIES, *EXISTENCE)),
    ],
    ids=["default", "no namespaces", "no roll-up", "no enrichment", "no existence", "no finalizers"],
)
def test_the_roles_grant_the_minimum(rbac: Values, more: tuple[tuple[str, ...], ...]) -> None:
    """The operator may do exactly this."""
    secrets = [{"namespace": "b", "name": "two"}, {"namespace": "b", "name": "one"}]
    more_clusters = [{"name": "three", **OTHER}]
    documents = objects({"kubeconfigSecrets": secrets, "monitoredClusters": more_clusters, "rbac": rbac})
    roles = [document for document in documents if document["kind"] in {"ClusterRole", "Role"}]
    rules = {
        (
            role["metadata"].get("namespace", ""),
            " ".join(rule["apiGroups"]),
            " ".join(rule["resources"]),
            " ".join(rule["verbs"]),
        ): rule.get("resourceNames")
        for role in roles
        for rule in role["rules"]
    }
    assert rules == {
        ("", "", "namespaces", "get"): ["kube-system"],
        ("", "policyhub.dev", "monitoredclusters", "list watch"): None,
        ("", "policyhub.dev", "monitoredclusters/status", "patch"): None,
        ("default", "", "events", "create"): None,
        ("b", "", "secrets", "get"): ["one", "three", "two"],
        **dict.fromkeys((*SOURCES, *more)),
    }


def test_existence_rules_match_the_operators_kinds() -> None:
    """The kinds of rbac.existence are those that the operator and its doctor use."""
    given: defaultdict[str, set[str]] = defaultdict(set)
    for _, group, plurals, verbs in EXISTENCE:
        given[verbs] |= {f"{plural}.{group}" if group else plural for plural in plurals.split()}
    assert given == {"get": {*WATCHED_KINDS}, "get list": {*OTHER_KINDS}, "list": {*ASKED_POLICIES}}
    watched = {resource.group_resource for resource in (*RESOURCES, *CONTROLLERS, namespaces.RESOURCE)}
    assert watched == {*WATCHED_KINDS}


def test_roles_are_bound_to_the_service_account() -> None:
    """Every role is bound in its own scope, to the Pod's service account."""
    secrets = [{"namespace": "b", "name": "one"}]
    documents = objects({"kubeconfigSecrets": secrets, "serviceAccount": {"name": "sa"}, "replicaCount": 2})
    roles = {
        (document["kind"], document["metadata"].get("namespace"), document["metadata"]["name"])
        for document in documents
        if document["kind"] in {"ClusterRole", "Role"}
    }
    bindings = [document for document in documents if document["kind"].endswith("RoleBinding")]
    bound = {(b["roleRef"]["kind"], b["metadata"].get("namespace"), b["roleRef"]["name"]) for b in bindings}
    assert bound == roles
    subject = {"kind": "ServiceAccount", "name": "sa", "namespace": "security"}
    assert all(binding["subjects"] == [subject] for binding in bindings)
    assert one(documents, "ServiceAccount")["metadata"]["name"] == "sa"
    assert pod(documents)["serviceAccountName"] == "sa"


def pod(documents: list[Document]) -> Document:
    found: Document = one(documents, "Deployment")["spec"]["template"]["spec"]
    return found


def environment(documents: list[Document]) -> dict[str, str]:
    return {variable["name"]: variable.get("value", "") for variable in pod(documents)["containers"][0]["env"]}


def test_the_pod_is_restricted() -> None:
    """The Pod passes the Pod Security Standard `restricted`, and its root file system is read-only."""
    spec = pod(objects())
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert [list(volume) for volume in spec["volumes"]] == [["name", "emptyDir"]]


@pytest.mark.parametrize("replicas", [1, 2])
def test_one_operator_at_a_time(replicas: int) -> None:
    """An upgrade ends the old operators before it starts the new ones, and gives them time to send."""
    spec = one(objects({"replicaCount": replicas}), "Deployment")["spec"]
    assert spec["replicas"] == replicas
    assert spec["strategy"] == {"type": "Recreate"}
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > 35


def test_one_replica_needs_no_lease() -> None:
    """A single replica has no Lease setting, may use no Lease, and runs on any node."""
    documents = objects()
    assert not {"POLICYHUB_LEASE", "POD_NAME"} & environment(documents).keys()
    assert "leases" not in str(documents)
    assert "topologySpreadConstraints" not in pod(documents)


def test_two_replicas_share_a_lease() -> None:
    """Two replicas have one Lease and their own identities, may use this Lease only, and are spread over nodes."""
    documents = objects({"replicaCount": 2})
    variables = {variable["name"]: variable for variable in pod(documents)["containers"][0]["env"]}
    assert variables["POLICYHUB_LEASE"]["value"] == "security/policyhub"
    assert variables["POD_NAME"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    role = next(role for role in of_kind(documents, "Role") if role["metadata"]["name"] == "policyhub-lease")
    assert role["metadata"]["namespace"] == "security"
    assert [(rule["verbs"], rule.get("resourceNames")) for rule in role["rules"]] == [
        (["get", "patch"], ["policyhub"]),
        (["create"], None),
    ]
    labels = one(documents, "Deployment")["spec"]["template"]["metadata"]["labels"]
    spreads = pod(documents)["topologySpreadConstraints"]
    assert [spread["topologyKey"] for spread in spreads] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert all(spread["labelSelector"]["matchLabels"].items() <= labels.items() for spread in spreads)
    assert one(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_a_single_replica_does_not_block_a_drain() -> None:
    """With one replica there is no PodDisruptionBudget."""
    assert not of_kind(objects(), "PodDisruptionBudget")


def test_the_settings_reach_the_operator() -> None:
    """Account, Region, role and log settings are in the container's environment; unset ones are not."""
    hub = {**HUB, "roleArn": "arn:aws:iam::011122223333:role/policyhub", "externalId": "x1"}
    documents = objects({"clusterName": "a", "securityHub": hub, "extraEnv": [{"name": "HTTPS_PROXY", "value": "p"}]})
    assert environment(documents) == {
        "POLICYHUB_ACCOUNT_ID": "011122223333",
        "POLICYHUB_REGION": "eu-west-1",
        "AWS_REGION": "eu-west-1",
        "POLICYHUB_ROLE_ARN": "arn:aws:iam::011122223333:role/policyhub",
        "POLICYHUB_EXTERNAL_ID": "x1",
        "POLICYHUB_METRICS_PORT": "8080",
        "POLICYHUB_LOG_LEVEL": "info",
        "POLICYHUB_LOG_FORMAT": "json",
        "HTTPS_PROXY": "p",
    }
    assert "POLICYHUB_ROLE_ARN" not in environment(objects())


def test_each_variable_is_unique() -> None:
    """ExtraEnv replaces the chart's own variable: server-side apply accepts each name only once."""
    documents = objects({"extraEnv": [{"name": "POLICYHUB_LOG_LEVEL", "value": "error"}]})
    names = [variable["name"] for variable in pod(documents)["containers"][0]["env"]]
    assert len(names) == len(set(names))
    assert environment(documents)["POLICYHUB_LOG_LEVEL"] == "error"


def test_settings_become_variables() -> None:
    """Each setting becomes the variable that the operator reads; numbers are unchanged."""
    values = {"hubQuotaShare": 0.4, "inventoryInterval": 2_592_000, "slaDays": "critical=3,low=180"}
    found = environment(objects({"settings": values}))
    assert found["POLICYHUB_HUB_QUOTA_SHARE"] == "0.4"
    assert found["POLICYHUB_INVENTORY_INTERVAL"] == "2592000"
    assert found["POLICYHUB_SLA_DAYS"] == "critical=3,low=180"
    assert Settings.model_validate({"sla_days": found["POLICYHUB_SLA_DAYS"]}).sla_days.critical == 3


def test_aws_network_settings() -> None:
    """Endpoints, FIPS, proxies and CA bundles reach both clients by the variables that the AWS SDK reads."""
    values = {
        "endpoints": {"securityHub": "https://hub.example", "sts": "https://sts.example"},
        "proxy": {"https": "http://proxy.example:3128", "noProxy": ".example"},
        "caBundle": {"secret": "ca", "key": "all.pem"},
    }
    documents = objects(values)
    found = environment(documents)
    assert found["AWS_ENDPOINT_URL_SECURITYHUB"] == "https://hub.example"
    assert found["AWS_ENDPOINT_URL_STS"] == "https://sts.example"
    assert found["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert found["NO_PROXY"].split(",")[0] == "$(KUBERNETES_SERVICE_HOST)"
    assert found["NO_PROXY"].split(",")[-1] == ".example"
    mount = next(m for m in pod(documents)["containers"][0]["volumeMounts"] if m["name"] == "ca-bundle")
    assert found["AWS_CA_BUNDLE"] == found["SSL_CERT_FILE"] == f"{mount['mountPath']}/all.pem"


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        ({}, ("https://securityhub.us-east-1.amazonaws.com", "https://sts.us-east-1.amazonaws.com")),
        (
            {"fips": True},
            ("https://securityhub-fips.us-east-1.amazonaws.com", "https://sts-fips.us-east-1.amazonaws.com"),
        ),
        (
            {"securityHub": "https://hub.example", "sts": "https://sts.example"},
            ("https://hub.example", "https://sts.example"),
        ),
    ],
    ids=["public", "fips", "vpc endpoints"],
)
def test_both_clients_use_the_charts_endpoints(
    monkeypatch: pytest.MonkeyPatch, endpoints: Values, expected: tuple[str, str]
) -> None:
    """The operator's own clients of Security Hub and STS, with the Deployment's environment, call these URLs."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment(objects({"endpoints": endpoints})).items():
        monkeypatch.setenv(name, value)
    clients = Clients(region="us-east-1", version="0")
    made: list[Any] = [clients.securityhub(), clients.sts()]
    assert tuple(client.meta.endpoint_url for client in made) == expected


def test_a_shard_labels_what_it_creates() -> None:
    """The MonitoredClusters of a release have the labels that it selects, and the operator's selector matches them."""
    values = {"clusterName": "a", "securityHub": HUB, "watchSelector": {"shard": "b", "team": "x"}}
    documents = objects({**values, "monitoredClusters": [{"name": "three", "labels": {"shard": "z"}, **OTHER}]})
    selector = environment(documents)["POLICYHUB_WATCH_SELECTOR"]
    clusters = of_kind(documents, "MonitoredCluster")
    assert len(clusters) == 2
    assert all(parse(selector).matches(cluster["metadata"]["labels"]) for cluster in clusters)


def test_alerts_and_dashboards_are_the_charts_files() -> None:
    """Their objects contain all of the chart's alerts and dashboards, and runbook links lead to existing pages."""
    files = (yaml.safe_load(path.read_text("utf-8")) for path in (CHART / "alerts").glob("*.yaml"))
    rules = [group for file in files for group in file["groups"]]
    boards = {path.name: path.read_text("utf-8") for path in (CHART / "dashboards").glob("*.json")}
    values = {
        "prometheusRule": {"enabled": True, "runbookUrl": "https://runbooks.example/"},
        "dashboards": {"enabled": True},
    }
    documents = objects(values)
    groups = one(documents, "PrometheusRule")["spec"]["groups"]
    expected = json.loads(json.dumps(rules).replace("docs/runbooks", "https://runbooks.example"))
    assert groups == expected
    assert boards == (one(documents, "ConfigMap").get("data") or {})


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ({}, {"maxUnavailable": 1}),
        ({"minAvailable": None}, {"maxUnavailable": 1}),
        ({"maxUnavailable": None}, {"maxUnavailable": 1}),
        ({"minAvailable": None, "maxUnavailable": "50%"}, {"maxUnavailable": "50%"}),
        ({"minAvailable": 0, "maxUnavailable": None}, {"minAvailable": 0}),
        ({"minAvailable": "50%"}, {"minAvailable": "50%"}),
    ],
    ids=str,
)
def test_the_disruption_budget(budget: Values, expected: Values) -> None:
    """One of the two values: null counts as unset."""
    spec = one(objects({"replicaCount": 2, "podDisruptionBudget": budget}), "PodDisruptionBudget")["spec"]
    assert {key: value for key, value in spec.items() if key != "selector"} == expected


@pytest.mark.parametrize(
    ("replicas", "strategy", "lease"),
    [(0, "Recreate", False), (0, "RollingUpdate", True), (1, "Recreate", False), (2, "Recreate", True)],
)
def test_which_releases_have_a_lease(replicas: int, strategy: str, lease: bool) -> None:  # noqa: FBT001  (a column of the table)
    """Scaled to zero, a release with RollingUpdate keeps its Lease, so that it can be scaled up again."""
    documents = objects({"replicaCount": replicas, "updateStrategy": {"type": strategy}})
    assert ("POLICYHUB_LEASE" in environment(documents)) is lease
    roles = [role["metadata"]["name"] for role in of_kind(documents, "Role")]
    assert ("policyhub-lease" in roles) is lease


def notes(folder: Path, values: Values) -> str:
    """The notes, which `helm template` omits: a copy of the chart puts them into an object."""
    copied = Path(shutil.copytree(CHART, folder / "chart"))
    (copied / "templates/NOTES.txt").rename(copied / "notes.txt")
    data = '{{ tpl (.Files.Get "notes.txt") . | toJson }}'
    made = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: notes}}\ndata: {{text: {data}}}\n"
    (copied / "templates/notes.yaml").write_text(made, "utf-8")
    text: str = one(render(copied, "policyhub", "security", values), "ConfigMap")["data"]["text"]
    return text


ARCHIVE = {"deletionPolicy": "Archive"}
THREE = {"name": "three", "spec": {**OTHER["spec"], **ARCHIVE}}


@pytest.mark.parametrize(
    ("values", "deleted", "retained"),
    [
        pytest.param({"clusterArn": ARN}, "", "all findings", id="Retain"),
        pytest.param({"clusterArn": ARN, "monitoredCluster": {"spec": ARCHIVE}}, "prod-eu", "", id="Archive"),
        *(
            pytest.param(
                {"clusterArn": ARN, "monitoredCluster": {"spec": {**ARCHIVE, "mode": mode}}},
                "",
                "all findings",
                id=mode,
            )
            for mode in ("DryRun", "NoArchive")
        ),
        pytest.param({"monitoredClusters": [THREE]}, "three", "", id="another cluster"),
        pytest.param(
            {"clusterArn": ARN, "monitoredClusters": [THREE]}, "three", "the findings of prod-eu", id="one of two"
        ),
        pytest.param(
            {"clusterArn": ARN, "monitoredCluster": {"spec": ARCHIVE}, "monitoredClusters": [THREE]},
            "prod-eu three",
            "",
            id="both",
        ),
    ],
)
def test_the_notes_say_what_to_delete_before_an_uninstall(
    tmp_path: Path, values: Values, deleted: str, retained: str
) -> None:
    """Each MonitoredCluster that has the finalizer, and no other: the others' findings stay."""
    output = notes(tmp_path, values)
    assert re.findall(r"kubectl delete monitoredcluster (.*)", output) == [deleted] * bool(deleted)
    assert re.findall(r"An uninstall leaves (.*) as they are\.", output) == [retained] * bool(retained)


def test_labels_and_ports_match() -> None:
    """The Service selects the Pod, and probes and Service use its port."""
    documents = objects()
    service, deployment = one(documents, "Service")["spec"], one(documents, "Deployment")["spec"]
    assert service["selector"] == deployment["selector"]["matchLabels"]
    assert service["selector"].items() <= deployment["template"]["metadata"]["labels"].items()
    container = deployment["template"]["spec"]["containers"][0]
    assert [port["name"] for port in container["ports"]] == ["metrics"]
    assert service["ports"][0]["targetPort"] == "metrics"
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert [*container["command"], *container["args"]] == ["policyhub", "run"]


def test_a_digest_overrides_the_tag() -> None:
    """An image is named by its digest if given, else by its tag, else by the chart's own version."""
    digest = "sha256:" + "0" * 64

    def image(**values: str) -> str:
        found: str = pod(objects({"image": values}))["containers"][0]["image"]
        return found

    assert image(repository="r/p", tag="1", digest=digest) == f"r/p@{digest}"
    assert image(repository="r/p", tag="1") == "r/p:1"
    assert image(repository="r/p") == "r/p:0.1.0"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"image": {"registry": "ghcr.io", "repository": "p/p"}}, "ghcr.io/p/p:1"),
        ({"image": {"registry": "ghcr.io", "repository": "p"}}, "ghcr.io/p:1"),
        ({"image": {"repository": "ghcr.io/p/p"}, "global": {"imageRegistry": "mirror:5000"}}, "mirror:5000/p/p:1"),
        ({"image": {"repository": "localhost/p"}, "global": {"imageRegistry": "mirror:5000"}}, "mirror:5000/p:1"),
        ({"image": {"repository": "team/p"}, "global": {"imageRegistry": "mirror:5000"}}, "mirror:5000/team/p:1"),
        (
            {"image": {"registry": "ghcr.io", "repository": "p"}, "global": {"imageRegistry": "mirror.example/x"}},
            "mirror.example/x/p:1",
        ),
    ],
)
def test_image_registry(values: Values, expected: str) -> None:
    """The registry precedes the repository; a global one of a parent chart replaces any other."""
    given = {**values, "image": {**values["image"], "tag": "1"}}
    assert pod(objects(given))["containers"][0]["image"] == expected
