"""Renders examples/gitops for clusters of Argo CD and Flux, as these tools do."""

import json
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from dev.cluster import helm, toolchain

EXAMPLES = Path(__file__).resolve().parents[1] / "examples/gitops"
CHART = EXAMPLES / "monitoredcluster"
ACCOUNT = "444455556666"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/policyhub"
EXTERNAL_ID = "policyhub-prod"

Document = dict[str, Any]


def documents(path: str) -> list[Document]:
    """The documents of an example."""
    return [document for document in yaml.safe_load_all((EXAMPLES / path).read_text("utf-8")) if document]


def arn(name: str, *, region: str = "eu-west-1", partition: str = "aws") -> str:
    return f"arn:{partition}:eks:{region}:{ACCOUNT}:cluster/{name}"


def secret(name: str, server: str, *, annotations: dict[str, str] | None = None, config: Any = None) -> Document:
    """A cluster Secret of Argo CD."""
    data = {"name": name, "server": server} | ({} if config is None else {"config": json.dumps(config)})
    metadata: Document = {"name": f"cluster-{sha256(name.encode()).hexdigest()[:10]}", "namespace": "argocd"}
    metadata["labels"] = {"argocd.argoproj.io/secret-type": "cluster"}
    if annotations is not None:
        metadata["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data, "type": "Opaque"}


def bridge(name: str, *, region: str = "eu-west-1") -> dict[str, str]:
    """The annotations that GitOps Bridge writes."""
    more = {"aws_vpc_id": "vpc-0", "addons_repo_url": "https://git.example.com/a"}
    return {"aws_cluster_name": name, "aws_region": region, "aws_account_id": ACCOUNT, **more}


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
"""By a cluster's Secret in Argo CD: name and ARN of its MonitoredCluster."""


def applications(*secrets: Document, template: Document | None = None) -> list[Document]:
    """The Applications that the example's ApplicationSet, or another one, generates for these clusters. Raises
    ValueError with Argo CD's error.
    """
    (applicationset,) = documents("argocd/applicationset.yaml")
    question = {"applicationSet": template or applicationset, "secrets": secrets}
    program = toolchain.ensure("applicationset", progress=print)
    done = subprocess.run([program], input=json.dumps(question), capture_output=True, text=True, check=True)  # noqa: S603
    answer = json.loads(done.stdout)
    if answer.get("error"):
        raise ValueError(answer["error"])
    found: list[Document] = answer["applications"]
    return found


def monitored(application: Document) -> list[Document]:
    """The manifests of the Application's chart, rendered with Argo CD's command. Raises helm.HelmError."""
    source = application["spec"]["source"]
    assert source["path"] == CHART.name
    release, values = source["helm"]["releaseName"], source["helm"]["valuesObject"]
    namespace = application["spec"]["destination"]["namespace"]
    return rendered(helm.template(CHART, release, namespace, values=values, crds=False))


def flux() -> list[Document]:
    """The manifests that the chart renders with the example's HelmRelease and ConfigMap. Raises helm.HelmError."""
    config, release = documents("flux/prod-eu.yaml")
    values = [f"name={release['spec']['values']['name']}"]
    values += [f"{each['targetPath']}={config['data'][each['valuesKey']]}" for each in release["spec"]["valuesFrom"]]
    name = release["metadata"]["name"]
    return rendered(helm.run("template", name, CHART, *(f"--set={value}" for value in values)).stdout)


def rendered(text: str) -> list[Document]:
    return [document for document in yaml.safe_load_all(text) if document]
