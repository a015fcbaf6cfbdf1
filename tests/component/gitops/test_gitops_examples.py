"""examples/gitops for each form in which Argo CD knows an EKS cluster, and for Flux's form."""

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
def test_argo_cd_cluster_secrets(cluster: Document, name: str, of: str) -> None:
    """Each results in one Application in the operator's cluster, and one MonitoredCluster that the models accept."""
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
def test_a_cluster_secret_without_an_arn(config: Any) -> None:
    """The generator exposes nothing of the Secret's config. That one Application fails with what to do; an error in the
    ApplicationSet's own template would stop all.
    """
    unknown, known = applications(secret("shop", URL, config=config), secret("bank", arn("bank")))
    with pytest.raises(helm.HelmError, match="kubectl -n argocd annotate secret SECRET aws_cluster_name=NAME"):
        monitored(unknown)
    assert [made["metadata"]["name"] for made in monitored(known)] == ["bank"]


def test_argo_cds_own_cluster() -> None:
    """It is the operator's, which the policyhub chart monitors: nothing is rendered, whatever its Secret contains."""
    own = secret("in-cluster", "https://kubernetes.default.svc", annotations=bridge("hub"))
    (application,) = applications(own)
    assert monitored(application) == []


def test_annotations_may_be_missing() -> None:
    """These tests' renderer is as strict as the controller, where one failing template stops all Applications."""
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
    """A deleted cluster Secret is no evidence about the cluster: neither Argo CD nor Helm deletes the
    MonitoredCluster.
    """
    (applicationset,) = gitops.documents("argocd/applicationset.yaml")
    assert applicationset["spec"]["syncPolicy"] == {"preserveResourcesOnDeletion": True}
    (application,) = applications(secret("shop", arn("shop")))
    assert application["spec"]["syncPolicy"]["automated"]["prune"] is False
    (made,) = monitored(application)
    assert made["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_an_excluded_cluster() -> None:
    """The label in the page excludes one cluster's Secret, and is not needed on others."""
    (applicationset,) = gitops.documents("argocd/applicationset.yaml")
    (generator,) = applicationset["spec"]["generators"]
    (output,) = re.findall(
        r"the label `([a-z./]+)=([a-z]+)` of its Secret", (ROOT / "docs/gitops.md").read_text("utf-8")
    )
    assert generator["clusters"]["selector"] == {
        "matchLabels": secret("shop", arn("shop"))["metadata"]["labels"],
        "matchExpressions": [{"key": output[0], "operator": "NotIn", "values": [output[1]]}],
    }


def test_flux() -> None:
    """The HelmRelease reads the ARN from the ConfigMap with which Flux itself reaches the cluster."""
    config, release = gitops.documents("flux/prod-eu.yaml")
    assert config["data"]["provider"] == "aws"
    (source,) = release["spec"]["valuesFrom"]
    assert (source["kind"], source["name"]) == ("ConfigMap", config["metadata"]["name"])
    assert release["spec"]["chart"]["spec"]["chart"] == f"./{gitops.CHART.name}"
    (made,) = gitops.flux()
    assert made["metadata"]["name"] == "prod-eu"
    assert made["spec"]["clusterArn"] == config["data"]["cluster"] == arn("prod-eu")
    assert made["spec"]["connection"] == {"eks": {"roleArn": ROLE, "externalId": EXTERNAL_ID}}


def test_without_a_role() -> None:
    """The connection has the cluster only."""
    values = {"name": "shop", "cluster": arn("shop"), "role": ""}
    (made,) = gitops.rendered(helm.template(gitops.CHART, "policyhub", "policyhub", values=values, crds=False))
    assert made["spec"]["connection"] == {"eks": {}}
    assert (
        made["spec"]["securityHub"] == yaml.safe_load((gitops.CHART / "values.yaml").read_text())["spec"]["securityHub"]
    )
    assert ACCOUNT in made["spec"]["clusterArn"]
