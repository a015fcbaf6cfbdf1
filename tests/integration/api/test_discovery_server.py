"""A real API server accepts, rejects and stores ClusterDiscoveries as the CRD specifies."""

import re
from typing import Any

import pytest

from dev.cluster import ApiError, Cluster
from policyhub.api.clusterdiscovery import ClusterDiscovery

PATH = "/apis/policyhub.dev/v1alpha1/clusterdiscoveries"
ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu"
ROLE = "arn:aws:iam::111122223333:role/policyhub"

Document = dict[str, Any]

ACCOUNT = {"accountId": "111122223333", "roleArn": ROLE, "externalId": "a:b"}


def discovery(name: str = "sample", **spec: Any) -> Document:
    given = {"accounts": [ACCOUNT], "regions": ["eu-west-1"], **spec}
    head = {"apiVersion": "policyhub.dev/v1alpha1", "kind": "ClusterDiscovery", "metadata": {"name": name}}
    return {**head, "spec": given}


def try_discovery(server: Cluster, body: Document) -> Document:
    return server.request("POST", PATH, body, dryRun="All", fieldValidation="Strict")


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"accounts": [{"accountId": "111122223333"}, {"accountId": "444455556666"}]},
        {"tagSelector": {"matchTags": {"team": "shop", "a b": ""}}},
        {"tagSelector": {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["bank"]}]}},
        {"tagSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}},
        {"namePattern": "eks.{account}-{region}.{name}"},
        {"template": {"metadata": {"labels": {"shard": "a"}}, "spec": {"mode": "DryRun", "archiveDelay": "5m"}}},
    ],
    ids=str,
)
def test_valid_discoveries(server: Cluster, spec: Document) -> None:
    """The operator reads what the API server accepts; a template is stored as written, without defaults."""
    taken = try_discovery(server, discovery(**spec))
    read = ClusterDiscovery.model_validate(taken).spec
    assert read == ClusterDiscovery.model_validate(discovery(**spec)).spec
    assert read.template.spec == spec.get("template", {}).get("spec", {})
    assert taken["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"accounts": []}, "accounts"),
        ({"regions": []}, "regions"),
        ({"regions": ["mars-1"]}, "Region"),
        ({"regions": ["eu-west-1", "us-iso-east-1"]}, "only Regions of the partitions"),
        ({"accounts": [ACCOUNT, ACCOUNT]}, "Duplicate value"),
        ({"accounts": [{**ACCOUNT, "accountId": "444455556666"}]}, "must be a role of the account in accountId"),
        ({"accounts": [{"accountId": "111122223333", "externalId": "ab"}]}, "set roleArn too"),
        ({"namePattern": "prod"}, "must contain {name}"),
        ({"namePattern": "{name}-{vpc}"}, "namePattern"),
        ({"tagSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}, "In and NotIn need values"),
        (
            {"tagSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}},
            "Exists and DoesNotExist must have none",
        ),
        ({"template": {"metadata": {"labels": {"policyhub.dev/discovered-by": "a"}}}}, "discovery sets the label"),
        ({"template": {"spec": {"clusterArn": ARN}}}, "clusterArn"),
        ({"template": {"spec": {"connection": {"inCluster": {}}}}}, "connection"),
        ({"template": {"spec": {"mode": "Off"}}}, "mode"),
        (
            {"template": {"spec": {"securityHub": {"accountId": "444455556666", "roleArn": ROLE}}}},
            "roleArn must be a role of the account in accountId",
        ),
    ],
    ids=str,
)
def test_invalid_discoveries(server: Cluster, spec: Document, message: str) -> None:
    """An invalid spec is rejected with a message that says what to do."""
    with pytest.raises(ApiError, match=re.escape(message)):
        try_discovery(server, discovery(**spec))


def test_a_template_may_change(server: Cluster) -> None:
    """It applies to future clusters, so its destination may change, unlike a MonitoredCluster's."""
    first = {"template": {"spec": {"securityHub": {"accountId": "111122223333", "region": "eu-west-1"}}}}
    server.request("POST", PATH, discovery("changing", **first))
    other = {"spec": {"template": {"spec": {"securityHub": {"accountId": "444455556666", "region": None}}}}}
    changed = server.request("PATCH", f"{PATH}/changing", other)
    assert changed["spec"]["template"]["spec"]["securityHub"] == {"accountId": "444455556666"}
    server.request("DELETE", f"{PATH}/changing")


def test_the_name_of_a_discovery_fits_a_label(server: Cluster) -> None:
    """It becomes a label value of the generated objects."""
    with pytest.raises(ApiError, match="at most 63 characters"):
        try_discovery(server, discovery("a" * 64))
