"""What examples/gitops makes of the clusters that Argo CD and Flux know, as they would render it."""

import json
import subprocess
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
    """Of an example."""
    return [document for document in yaml.safe_load_all((EXAMPLES / path).read_text("utf-8")) if document]


def arn(name: str, *, region: str = "eu-west-1", partition: str = "aws") -> str:
    return f"arn:{partition}:eks:{region}:{ACCOUNT}:cluster/{name}"


def secret(name: str, server: str, *, annotations: dict[str, str] | None = None, config: Any = None) -> Document:
    """A cluster of Argo CD."""
    data = {"name": name, "server": server} | ({} if config is None else {"config": json.dumps(config)})
    metadata: Document = {"name": f"cluster-{abs(hash(name))}", "namespace": "argocd"}
    metadata["labels"] = {"argocd.argoproj.io/secret-type": "cluster"}
    if annotations is not None:
        metadata["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data, "type": "Opaque"}


def bridge(name: str, *, region: str = "eu-west-1") -> dict[str, str]:
    """The annotations of GitOps Bridge."""
    more = {"aws_vpc_id": "vpc-0", "addons_repo_url": "https://git.example.com/a"}
    return {"aws_cluster_name": name, "aws_region": region, "aws_account_id": ACCOUNT, **more}


def applications(*secrets: Document, template: Document | None = None) -> list[Document]:
    """Of the example's ApplicationSet, or another one, for these clusters. Raises ValueError with Argo CD's error."""
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
    """What the Application's chart renders, by the command that Argo CD runs. Raises helm.HelmError."""
    source = application["spec"]["source"]
    assert source["path"] == CHART.name
    release, values = source["helm"]["releaseName"], source["helm"]["valuesObject"]
    namespace = application["spec"]["destination"]["namespace"]
    return rendered(helm.template(CHART, release, namespace, values=values, crds=False))


def rendered(text: str) -> list[Document]:
    return [document for document in yaml.safe_load_all(text) if document]
