"""examples/gitops for each shape in which Argo CD, and for the one in which Flux, knows an EKS cluster."""

import copy
from typing import Any

import pytest
import yaml

from dev.cluster import helm
from policyhub.api.monitoredcluster import MonitoredCluster
from tests import gitops
from tests.gitops import ACCOUNT, EXTERNAL_ID, ROLE, Document, applications, arn, bridge, monitored, secret

URL = "https://0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com"
TLS = {"tlsClientConfig": {"insecure": False, "caData": "LS0t"}}
BY_ROLE = {"awsAuthConfig": {"clusterName": "shop", "roleARN": ROLE}, **TLS}
BY_EXEC = {"execProviderConfig": {"command": "argocd-k8s-auth", "args": ["aws", "--cluster-name", "shop"]}, **TLS}
SKIPPED = {"argocd.argoproj.io/skip-reconcile": "true"}
LONG = "a" * 100

SHAPES: dict[str, tuple[Document, str, str]] = {
    "awsAuthConfig": (secret("shop", URL, annotations=bridge("shop"), config=BY_ROLE), "shop", arn("shop")),
    "execProviderConfig": (secret("shop", URL, annotations=bridge("shop"), config=BY_EXEC), "shop", arn("shop")),
    "ARN as name": (
        secret(arn("shop"), URL, config=BY_ROLE),
        "arn-aws-eks-eu-west-1-444455556666-cluster-shop",
        arn("shop"),
    ),
    "EKS capability": (secret("shop", arn("shop")), "shop", arn("shop")),
    "skip-reconcile": (secret("shop", arn("shop"), annotations=SKIPPED), "shop", arn("shop")),
    "server before annotations": (secret("shop", arn("shop"), annotations=bridge("old")), "shop", arn("shop")),
    "no object name": (secret("Shop_EU west", arn("Shop_EU")), "shop-eu-west", arn("Shop_EU")),
    "a number as name": (secret("2026", arn("2026")), "2026", arn("2026")),
    "longest": (secret(arn(LONG), URL), f"arn-aws-eks-eu-west-1-444455556666-cluster-{LONG}", arn(LONG)),
    "China": (
        secret("shop", URL, annotations=bridge("shop", region="cn-north-1")),
        "shop",
        arn("shop", region="cn-north-1", partition="aws-cn"),
    ),
    "GovCloud": (
        secret("shop", URL, annotations=bridge("shop", region="us-gov-west-1")),
        "shop",
        arn("shop", region="us-gov-west-1", partition="aws-us-gov"),
    ),
}


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
    (application,) = applications(secret("shop", arn("shop")))
    assert application["spec"]["syncPolicy"]["automated"]["prune"] is False
    (made,) = monitored(application)
    assert made["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_flux() -> None:
    """The HelmRelease takes the ARN from the ConfigMap by which Flux itself reaches the cluster."""
    config, release = gitops.documents("flux/prod-eu.yaml")
    assert config["data"]["provider"] == "aws"
    (source,) = release["spec"]["valuesFrom"]
    assert (source["kind"], source["name"]) == ("ConfigMap", config["metadata"]["name"])
    assert release["spec"]["chart"]["spec"]["chart"] == f"./{gitops.CHART.name}"
    value = config["data"][source["valuesKey"]]
    command = ("template", release["metadata"]["name"], gitops.CHART)
    name = f"name={release['spec']['values']['name']}"
    text = helm.run(*command, f"--set={name}", f"--set={source['targetPath']}={value}").stdout
    (made,) = gitops.rendered(text)
    assert made["metadata"]["name"] == "prod-eu"
    assert made["spec"]["clusterArn"] == value == arn("prod-eu")
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
