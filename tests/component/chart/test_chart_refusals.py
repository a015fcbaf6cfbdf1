"""Values that the chart rejects, with the real helm's message: what is expected, with an example."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.chart.values import parse as parse_values
from dev.cluster.helm import HelmError, render
from policyhub.api.monitoredcluster import Spec

CHART = Path(__file__).parents[3] / "charts/policyhub"
HUB = {"accountId": "111122223333", "region": "eu-west-1"}
ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu"
OWN = {"clusterName": "a", "securityHub": HUB}
OTHER = {"spec": {"connection": {"kubeconfigSecretRef": {"namespace": "b", "name": "three"}}}}
ROLE = "arn:aws:iam::111122223333:role/policyhub"
CHINA = "arn:aws-cn:iam::111122223333:role/policyhub"

Values = dict[str, Any]


def refusal(values: Values) -> str:
    """Helm's error message for these values."""
    with pytest.raises(HelmError) as caught:
        render(CHART, "policyhub", "security", values)
    return str(caught.value)


def nested(path: str, value: Any) -> Values:
    """Values with this value at a path."""
    for part in reversed(path.split(".")):
        value = {part: value}
    made: Values = value
    return made


def table(name: str) -> dict[str, str]:
    """The table that the template of that name defines; it evaluates no values."""
    text = (CHART / "templates/_names.tpl").read_text("utf-8")
    found: dict[str, str] = yaml.safe_load(text.partition(f'"policyhub.{name}" -}}}}')[2].partition("{{-")[0])
    return found


def values_of_the_chart() -> Iterator[str]:
    def walk(node: Values, place: str) -> Iterator[str]:
        for key, value in node.items():
            yield f"{place}{key}"
            if isinstance(value, dict):
                yield from walk(value, f"{place}{key}.")

    yield from walk(yaml.safe_load((CHART / "values.yaml").read_text("utf-8")), "")
    for field in Spec.model_fields.values():
        yield f"monitoredCluster.spec.{field.alias}"


@pytest.mark.parametrize(("old", "new"), table("oldNames").items())
def test_a_renamed_value(old: str, new: str) -> None:
    """One sentence with the new name, without a schema error."""
    reported = refusal(OWN | nested(old, 1))
    assert f"{old} is now called {new}: use that name." in reported
    assert "additional properties" not in reported


@pytest.mark.parametrize(("other", "name"), table("otherNames").items())
def test_a_name_of_another_chart(other: str, name: str) -> None:
    """The message has this chart's name for a value that other charts name otherwise."""
    assert f"{other} is called {name} in this chart: use that name." in refusal(OWN | nested(other, [{"name": "a"}]))


@pytest.mark.parametrize("other", table("otherWays"))
def test_a_value_that_does_not_exist(other: str) -> None:
    """The sentence names what has the same effect."""
    reported = refusal(OWN | nested(other, False))
    assert f"{other} is not a value of this chart. " in reported
    assert reported.count("Set ") + reported.count("To ") > 0


def test_the_tables_name_existing_values() -> None:
    """No table refers to a value that does not exist, and none rejects one that does."""
    there = {*values_of_the_chart()}
    assert {*table("oldNames").values(), *table("otherNames").values()} <= there
    assert not {*table("oldNames"), *table("otherNames"), *table("otherWays")} & there
    named = re.findall(r"(?<![.\w])[a-z]+[A-Z]\w*(?:\.\w+)?", " ".join(table("otherWays").values()))
    assert {*named} <= there


def test_several_old_names_at_once() -> None:
    """All of them are in one message."""
    reported = refusal({**OWN, "replicas": 2, "networkPolicy": {"create": True}})
    assert "replicas is now called replicaCount" in reported
    assert "networkPolicy.create is now called networkPolicy.enabled" in reported


FORMS = [
    ({"securityHub": {**HUB, "accountId": 111122223333}}, "/securityHub/accountId", "--set-string"),
    ({"securityHub": {**HUB, "accountId": "1111"}}, "/securityHub/accountId", '"111122223333"'),
    ({"securityHub": {**HUB, "region": "Ireland"}}, "/securityHub/region", "such as eu-west-1"),
    ({"securityHub": {**HUB, "region": "xx-west-1"}}, "/securityHub/region", "such as eu-west-1"),
    ({"securityHub": {**HUB, "roleArn": "policyhub"}}, "/securityHub/roleArn", "arn:aws:iam::111122223333:role/"),
    ({"securityHub": {**HUB, "externalId": "x"}}, "/securityHub/externalId", "such as policyhub-prod"),
    ({"clusterArn": "prod-eu"}, "/clusterArn", "arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu"),
    ({"clusterArn": "arn:aws:eks:cn-north-1:111122223333:cluster/a"}, "/clusterArn", "the ARN of an EKS cluster"),
    ({"clusterName": "Prod"}, "/clusterName", "such as prod-eu"),
    ({"serviceAccount": {"roleArn": "policyhub"}}, "/serviceAccount/roleArn", "arn:aws:iam::111122223333:role/"),
    ({"serviceAccount": {"name": "A_b"}}, "/serviceAccount/name", "small letters"),
    ({"kubeconfigSecrets": [{"namespace": "A", "name": "b"}]}, "/kubeconfigSecrets/0/namespace", "a namespace"),
    ({"monitoredClusters": [{"name": "A", **OTHER}]}, "/monitoredClusters/0/name", "such as prod-eu"),
    ({"watchSelector": {"shard": "a b"}}, "/watchSelector/shard", "the value of a label"),
    ({"endpoints": {"securityHub": "securityhub.eu-west-1.amazonaws.com"}}, "/endpoints/securityHub", "https://"),
    ({"endpoints": {"sts": "sts.eu-west-1.amazonaws.com"}}, "/endpoints/sts", "https://"),
    ({"proxy": {"https": "socks5://a:1080"}}, "/proxy/https", "http://proxy.example.com:3128"),
    ({"proxy": {"http": "proxy:3128"}}, "/proxy/http", "http://proxy.example.com:3128"),
    ({"settings": {"slaDays": {"critical": 3}}}, "/settings/slaDays", "critical=7,high=30"),
    ({"serviceMonitor": {"interval": "30"}}, "/serviceMonitor/interval", "such as 30s"),
    ({"podMonitor": {"scrapeTimeout": "1m30s"}}, "/podMonitor/scrapeTimeout", "such as 30s"),
    ({"image": {"digest": "latest"}}, "/image/digest", "sha256:"),
    ({"image": {"repository": "registry.example:5000/policyhub:0.1.0"}}, "/image/repository", "image.tag"),
    ({"image": {"repository": "registry.example/policyhub@sha256:ab"}}, "/image/repository", "without tag"),
    ({"podDisruptionBudget": {"minAvailable": "half"}}, "/podDisruptionBudget/minAvailable", "such as 1 or 50%"),
    ({"networkPolicy": {"apiServerPort": "6443"}}, "/networkPolicy/apiServerPort", "a port as a number, such as 6443"),
    ({"namespaceOverride": "Security"}, "/namespaceOverride", "such as policyhub"),
    ({"monitoredCluster": {"spec": {"archiveDelay": "10"}}}, "/monitoredCluster/spec/archiveDelay", "90s, 10m"),
    ({"monitoredCluster": {"spec": {"archiveDelay": 10}}}, "/monitoredCluster/spec/archiveDelay", "90s, 10m"),
    (
        {"monitoredCluster": {"spec": {"securityHub": {"region": "xx-west-1"}}}},
        "/monitoredCluster/spec/securityHub/region",
        "such as eu-west-1",
    ),
    (
        {"monitoredCluster": {"spec": {"namespaces": {"exclude": ["Kube"]}}}},
        "/monitoredCluster/spec/namespaces/exclude/0",
        "such as kube-*",
    ),
]


@pytest.mark.parametrize(
    ("values", "place", "example"), FORMS, ids=[f"{place} {n}" for n, (_, place, _) in enumerate(FORMS)]
)
def test_a_wrong_form(values: Values, place: str, example: str) -> None:
    """The message has the value and what is expected, with an example, but no pattern."""
    reported = refusal({**OWN, **values})
    assert f"at '{place}': value must be '" in reported
    assert example in reported
    assert "match pattern" not in reported
    assert "want string" not in reported


def groups() -> dict[str, list[str]]:
    """The groups of values.yaml: their names, and the values in each."""
    every = [value for top in parse_values((CHART / "values.yaml").read_text("utf-8")) for value in top.walk()]
    return {value.name: [child.name for child in value.children] for value in every if value.children}


@pytest.mark.parametrize("group", groups())
@pytest.mark.parametrize("value", ["http://proxy.example:3128", True, ["a"]], ids=["text", "switch", "list"])
def test_a_value_in_place_of_a_group(group: str, value: Any) -> None:
    """`proxy=http://…` names the value that was meant."""
    reported = refusal(OWN | nested(group, value))
    assert f"at '/{group}': value must be 'a group: set {groups()[group][0]}" in reported
    assert all(name in reported for name in groups()[group])
    assert "want object" not in reported


def test_no_value_has_a_bare_pattern() -> None:
    """Wherever the schema has a pattern, an error prints a sentence; and the sentence itself is not a valid value."""
    nodes = [json.loads((CHART / "values.schema.json").read_text("utf-8"))]
    forms = 0
    while nodes:
        node = nodes.pop()
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        if isinstance(node, dict) and isinstance(node.get("if"), dict) and "pattern" in node["if"]:
            forms += 1
            assert node["else"] == node["not"]
            assert len(node["else"]["const"].split()) > 3
            children = [child for key, child in node.items() if key != "if"]
        elif isinstance(node, dict):
            assert not isinstance(node.get("pattern"), str), node
        nodes += children
    assert forms > 25
    sentence = "an AWS Region, such as eu-west-1"
    assert "'not' failed" in refusal({**OWN, "securityHub": {**HUB, "region": sentence}})


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"securityhub": {}}, id="misspelt"),
        pytest.param({"kubeconfigSecrets": [{"name": "a"}]}, id="secret without namespace"),
        pytest.param({"log": {"level": "loud"}}, id="no level"),
        pytest.param({"replicaCount": "2"}, id="replicas as text"),
        pytest.param({"replicaCount": 4}, id="too many replicas"),
        pytest.param({"settings": {"hubQuotaShare": 2}}, id="more than the quota"),
        pytest.param({"settings": {"logLevel": "debug"}}, id="a setting that has its own value"),
        pytest.param({"settings": {"relist": 60}}, id="no setting"),
        pytest.param({"networkPolicy": {"httpsPorts": []}}, id="no port to AWS"),
        pytest.param({"monitoredCluster": {"spec": {"mod": "DryRun"}}}, id="misspelt in the spec"),
        pytest.param({"monitoredCluster": {"spec": {"mode": "dryrun"}}}, id="no mode"),
        pytest.param({"monitoredCluster": {"spec": {"sources": {"kyverno": True}}}}, id="misspelt deep in the spec"),
        pytest.param({"monitoredClusters": [{"name": "a", "spec": {}}]}, id="no connection"),
        pytest.param({"monitoredClusters": [{"spec": {"connection": {"inCluster": {}}}}]}, id="no name"),
        pytest.param({"resources": "small"}, id="resources as text"),
        pytest.param({"extraArgs": {"log-level": "debug"}}, id="arguments as a map"),
        pytest.param({"extraContainers": [{"image": "a"}]}, id="container without name"),
        pytest.param({"updateStrategy": {"type": "OnDelete"}}, id="no strategy"),
        pytest.param({"dnsPolicy": "Cluster"}, id="no policy of DNS"),
    ],
)
def test_wrong_values_are_refused(values: Values) -> None:
    """The schema rejects values that would fail later, or be ignored."""
    assert "schema" in refusal({**OWN, **values})


CONTRADICTIONS: list[tuple[Values, str]] = [
    ({"caBundle": {"configMap": "a", "secret": "b"}}, "configMap or secret, not both"),
    (
        {"securityHub": {**HUB, "roleArn": "arn:aws:iam::999999999999:role/x:iam::111122223333:role/y"}},
        "a role of account 999999999999",
    ),
    (
        {"clusterArn": ARN, "securityHub": {"roleArn": "arn:aws:iam::444455556666:role/x"}},
        "the findings go to account 111122223333 (securityHub.accountId, or else that of clusterArn)",
    ),
    ({"endpoints": {"fips": True, "sts": "https://sts.example"}}, "accepts no URL together with fips"),
    ({"endpoints": {"fips": True}}, "not in eu-west-1"),
    ({"endpoints": {"fips": True}, "securityHub": {**HUB, "region": "ca-central-1"}}, "not in ca-central-1"),
    (
        {
            "endpoints": {"fips": True},
            "securityHub": {**HUB, "region": "us-east-1"},
            "monitoredClusters": [
                {"name": "b", "spec": {"connection": {"inCluster": {}}, "securityHub": {"region": "ap-south-1"}}}
            ],
        },
        "not in ap-south-1",
    ),
    ({"securityHub": {**HUB, "roleArn": CHINA}}, "securityHub.roleArn is a role of the partition aws-cn"),
    ({"serviceAccount": {"roleArn": CHINA}}, "serviceAccount.roleArn is a role of the partition aws-cn"),
    (
        {"serviceAccount": {"roleArn": ROLE}, "securityHub": {**HUB, "region": "us-gov-west-1"}},
        "us-gov-west-1 is in aws-us-gov",
    ),
    ({"serviceMonitor": {"enabled": True}, "service": {"enabled": False}}, "serviceMonitor needs the Service"),
    ({"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}, "Enable only one of them"),
    ({"monitoredClusters": [{"name": "a", **OTHER}]}, "a is the name of this cluster's own"),
    ({"monitoredClusters": [{"name": "b", **OTHER}, {"name": "b", **OTHER}]}, "b is listed twice"),
    ({"updateStrategy": {"type": "RollingUpdate"}}, "two operators at the same time"),
    ({"replicaCount": 2, "terminationGracePeriodSeconds": 35}, "too short for a Pod with a Lease"),
    ({"podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": 1}}, "not both"),
    ({"podDisruptionBudget": {"minAvailable": 0, "maxUnavailable": 0}}, "not both"),
    ({"podDisruptionBudget": {"maxUnavailable": 0}, "replicaCount": 2}, "allows no eviction of the 2 replicas"),
    ({"podDisruptionBudget": {"minAvailable": 2}, "replicaCount": 2}, "allows no eviction of the 2 replicas"),
    ({"podDisruptionBudget": {"minAvailable": "100%"}, "replicaCount": 3}, "allows no eviction of the 3 replicas"),
    ({"podDisruptionBudget": {"minAvailable": "51%"}, "replicaCount": 2}, "allows no eviction of the 2 replicas"),
    ({"podDisruptionBudget": {"minAvailable": "67%"}, "replicaCount": 3}, "allows no eviction of the 3 replicas"),
    ({"podDisruptionBudget": {"maxUnavailable": "000%"}, "replicaCount": 2}, "allows no eviction of the 2 replicas"),
    ({"extraArgs": ["--metrics-port=9090"]}, "leave --metrics-port out"),
    ({"extraArgs": ["--lease", "a/b"]}, "leave --lease out"),
    ({"extraEnv": [{"name": "POLICYHUB_METRICS_PORT", "value": "9090"}]}, "leave POLICYHUB_METRICS_PORT out"),
    ({"extraEnv": [{"name": "POLICYHUB_LEASE", "value": "a/b"}]}, "leave POLICYHUB_LEASE out"),
    ({"dnsPolicy": "None"}, "set dnsConfig.nameservers"),
    ({"serviceAccount": {"create": False, "roleArn": ROLE}}, "annotate your own"),
    ({"serviceAccount": {"create": False, "annotations": {"a": "b"}}}, "annotate your own"),
    ({"rbac": {"rollUp": False}, "monitoredCluster": {"spec": {"rollUp": True}}}, "rbac.rollUp=false"),
    ({"rbac": {"enrichment": False}, "monitoredCluster": {"spec": {"enrichment": True}}}, "rbac.enrichment=false"),
    (
        {"rbac": {"finalizers": False}, "monitoredCluster": {"spec": {"deletionPolicy": "Archive"}}},
        "MonitoredCluster a: deletionPolicy=Archive needs the permission that rbac.finalizers=false removes",
    ),
    (
        {
            "rbac": {"finalizers": False},
            "monitoredClusters": [
                {"name": "b", **OTHER},
                {"name": "c", "spec": {**OTHER["spec"], "deletionPolicy": "Archive"}},
            ],
        },
        "MonitoredCluster c: deletionPolicy=Archive needs the permission that rbac.finalizers=false removes",
    ),
]


@pytest.mark.parametrize(("values", "message"), CONTRADICTIONS, ids=[message for _, message in CONTRADICTIONS])
def test_contradictory_values(values: Values, message: str) -> None:
    """Combinations that are wrong are rejected with messages of the chart."""
    assert message in refusal({**OWN, **values})


@pytest.mark.parametrize(
    "values",
    [
        {"replicaCount": 2, "updateStrategy": {"type": "RollingUpdate"}},
        {"replicaCount": 0, "updateStrategy": {"type": "RollingUpdate"}},
        {"replicaCount": 2, "podDisruptionBudget": {"minAvailable": 1}},
        {"replicaCount": 2, "podDisruptionBudget": {"minAvailable": "50%"}},
        {"replicaCount": 3, "podDisruptionBudget": {"minAvailable": "66%"}},
        {"replicaCount": 2, "podDisruptionBudget": {"maxUnavailable": "1%"}},
        {"replicaCount": 2, "podDisruptionBudget": None},
        {"podDisruptionBudget": {"minAvailable": 1}},
        {"endpoints": {"fips": True}, "securityHub": {**HUB, "region": "us-gov-east-1"}},
        {"securityHub": {**HUB, "region": "us-newtown-9"}},
        {"serviceAccount": {"roleArn": CHINA}, "securityHub": {**HUB, "region": "cn-north-1"}},
        {"rbac": {"create": False, "rollUp": False}, "monitoredCluster": {"spec": {"rollUp": True}}},
        {
            "rbac": {"create": False, "finalizers": False},
            "monitoredCluster": {"spec": {"deletionPolicy": "Archive"}},
        },
        {"rbac": {"finalizers": False}, "monitoredCluster": {"spec": {"deletionPolicy": "Retain"}}},
        {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.0.0.2"]}},
        {"livenessProbe": None, "podSecurityContext": None},
        {"enabled": True, "global": {"logLevel": "debug", "repository": "of another chart"}},
    ],
    ids=str,
)
def test_valid_combinations(values: Values) -> None:
    """Similar valid values are accepted, and so is an unknown Region."""
    assert render(CHART, "policyhub", "security", {**OWN, **values})


@pytest.mark.parametrize(
    ("values", "ports"),
    [
        ({}, [443]),
        ({"networkPolicy": {"httpsPorts": [6443]}}, [6443]),
        ({"networkPolicy": {"apiServerPort": 6443}}, [443, 6443]),
        ({"networkPolicy": {"apiServerPort": 443}}, [443]),
        ({"networkPolicy": {"apiServerPort": 6443}, "rbac": {"create": False}}, [443, 6443]),
        ({"networkPolicy": {"apiServerPort": None}}, [443]),
        ({"proxy": {"https": "http://proxy.example:3128", "http": "http://proxy.example"}}, [443, 3128, 80]),
        ({"proxy": {"https": "http://user:secret@[2001:db8::1]:8080/"}}, [443, 8080]),
        ({"proxy": {"https": "http://[2001:db8::1]"}}, [443, 80]),
        ({"endpoints": {"securityHub": "https://hub.example:8443", "sts": "https://sts.example"}}, [443, 8443]),
        ({"extraEnv": [{"name": "https_proxy", "value": "http://proxy.example:3129"}]}, [443, 3129]),
        ({"extraEnv": [{"name": "AWS_ENDPOINT_URL", "value": "http://hub.hub.svc:8080"}]}, [443, 8080]),
        ({"extraEnv": [{"name": "NO_PROXY", "value": "http://a:1"}]}, [443]),
        ({"extraEnv": [{"name": "HTTPS_PROXY", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}]}, [443]),
    ],
    ids=str,
)
def test_the_network_policy_opens_the_ports_of_urls(values: Values, ports: list[int]) -> None:
    """A port in a proxy's or endpoint's URL need not be opened separately."""
    given = {**OWN, **values, "networkPolicy": {"enabled": True, **values.get("networkPolicy", {})}}
    documents = render(CHART, "policyhub", "security", given)
    (policy,) = [document for document in documents if document["kind"] == "NetworkPolicy"]
    assert [entry["port"] for entry in policy["spec"]["egress"][1]["ports"]] == ports
