"""examples/gitops for each shape in which Argo CD, and for the one in which Flux, knows an EKS cluster."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.cluster import helm
from policyhub.api.monitoredcluster import MonitoredCluster
from tests import gitops
from tests.gitops import (
    ACCOUNT,
    BY_EXEC,
    BY_ROLE,
    EXTERNAL_ID,
    ROLE,
    SHAPES,
    TLS,
    URL,
    Document,
    applications,
    arn,
    bridge,
    monitored,
    secret,
)

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("cluster", "name", "of"), SHAPES.values(), ids=SHAPES)
def test_argo_cds_shapes(cluster: Document, name: str, of: str) -> None:
    """Each leads to one Application in the operator's cluster, and to one MonitoredCluster that the models take."""
    (application,) = applications(cluster)
    assert application["metadata"]["name"] == f"policyhub-{name}"
    assert application["spec"]["destination"]["name"] == "in-cluster"
    (made,) = monitored(application)
    assert made["metadata"]["name"] == name
    eks = MonitoredCluster.model_validate(made).spec.connection.eks
    assert made["spec"]["clusterArn"] == of
    assert eks is not None
    assert eks.role_arn == ROLE.replace("aws", of.split(":")[1], 1)
    assert eks.external_id == EXTERNAL_ID


@pytest.mark.parametrize("config", [BY_ROLE, BY_EXEC, {"bearerToken": "t", **TLS}], ids=min)
def test_a_cluster_whose_arn_nothing_tells(config: Any) -> None:
    """The generator gives nothing of the Secret's config. That one Application fails, with what to do; the controller
    would make none at all if the ApplicationSet's own template failed.
    """
    unknown, known = applications(secret("shop", URL, config=config), secret("bank", arn("bank")))
    with pytest.raises(helm.HelmError, match="kubectl -n argocd annotate secret SECRET aws_cluster_name=NAME"):
        monitored(unknown)
    assert [made["metadata"]["name"] for made in monitored(known)] == ["bank"]


def test_argo_cds_own_cluster() -> None:
    """It is the operator's, which the chart of policyhub monitors: nothing is rendered, whatever its Secret says."""
    own = secret("in-cluster", "https://kubernetes.default.svc", annotations=bridge("hub"))
    (application,) = applications(own)
    assert monitored(application) == []


def test_annotations_are_no_map_to_dig_in() -> None:
    """The renderer of these tests is as strict as the controller, where one such template stops all Applications."""
    (applicationset,) = gitops.documents("argocd/applicationset.yaml")
    for text in (
        "{{ .metadata.annotations.aws_region }}",
        '{{ dig "annotations" "aws_region" "" .metadata }}',
        '{{ get .metadata.annotations "aws_region" }}',
    ):
        other = copy.deepcopy(applicationset)
        other["spec"]["template"]["metadata"]["name"] = text
        with pytest.raises(ValueError, match="template"):
            applications(secret("shop", URL, annotations={"a": "b"}), template=other)


def test_no_application_deletes_a_monitored_cluster() -> None:
    """A Secret of Argo CD's that is gone says nothing of the cluster: neither Argo CD nor Helm deletes what it made."""
    (applicationset,) = gitops.documents("argocd/applicationset.yaml")
    assert applicationset["spec"]["syncPolicy"] == {"preserveResourcesOnDeletion": True}
    (application,) = applications(secret("shop", arn("shop")))
    assert application["spec"]["syncPolicy"]["automated"]["prune"] is False
    (made,) = monitored(application)
    assert made["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_a_cluster_that_is_left_out() -> None:
    """The label that the page names for a cluster's Secret leaves that one out, and needs to be on no other."""
    (applicationset,) = gitops.documents("argocd/applicationset.yaml")
    (generator,) = applicationset["spec"]["generators"]
    (told,) = re.findall(r"the label `([a-z./]+)=([a-z]+)` of its Secret", (ROOT / "docs/gitops.md").read_text("utf-8"))
    assert generator["clusters"]["selector"] == {
        "matchLabels": secret("shop", arn("shop"))["metadata"]["labels"],
        "matchExpressions": [{"key": told[0], "operator": "NotIn", "values": [told[1]]}],
    }


def test_flux() -> None:
    """The HelmRelease takes the ARN from the ConfigMap by which Flux itself reaches the cluster."""
    config, release = gitops.documents("flux/prod-eu.yaml")
    assert config["data"]["provider"] == "aws"
    (source,) = release["spec"]["valuesFrom"]
    assert (source["kind"], source["name"]) == ("ConfigMap", config["metadata"]["name"])
    assert release["spec"]["chart"]["spec"]["chart"] == f"./{gitops.CHART.name}"
    (made,) = gitops.flux()
    assert made["metadata"]["name"] == "prod-eu"
    assert made["spec"]["clusterArn"] == config["data"]["cluster"] == arn("prod-eu")
    assert made["spec"]["connection"] == {"eks": {"roleArn": ROLE, "externalId": EXTERNAL_ID}}


def test_by_the_operators_own_role() -> None:
    """Without a role, the connection names nothing but the cluster."""
    values = {"name": "shop", "cluster": arn("shop"), "role": ""}
    (made,) = gitops.rendered(helm.template(gitops.CHART, "policyhub", "policyhub", values=values, crds=False))
    assert made["spec"]["connection"] == {"eks": {}}
    assert (
        made["spec"]["securityHub"] == yaml.safe_load((gitops.CHART / "values.yaml").read_text())["spec"]["securityHub"]
    )
    assert ACCOUNT in made["spec"]["clusterArn"]
