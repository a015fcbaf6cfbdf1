"""The company's workloads as manifests that really have the flaws that its policies check.

dev/company decides which workload has which flaws; here a flaw is part of a Pod's spec. Pure: no I/O, no clock.
"""

import hashlib
from collections.abc import Collection, Mapping

from dev.company.workload import NAMESPACES, WORKLOADS, Document, Workload

FLAWS = (
    "keeps-capabilities",
    "no-seccomp",
    "writable-root",
    "root",
    "escalation",
    "no-limits",
    "no-probes",
    "no-digest",
    "token",
    "no-labels",
    "uid-zero",
    "privileged",
    "host-path",
    "host-namespaces",
    "host-ports",
    "docker-socket",
    "capabilities",
    "latest",
    "foreign-registry",
    "node-port",
    "open-network",
)
"""Flaws that a policy of each engine checks; the last two in Services and Namespaces, the others in workloads."""

Flaws = Mapping[tuple[str, str, str], Collection[str]]
"""By kind, namespace and name."""


def namespaces(flaws: Flaws) -> list[Document]:
    found = []
    for name, team in NAMESPACES.items():
        closed = {} if "open-network" in flaws["Namespace", "", name] else {"network": "closed"}
        metadata = {"name": name, "labels": {"team": team, **closed}}
        found.append({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    return found


def manifests(workload: Workload, flaws: Collection[str]) -> list[Document]:
    """The workload, and its Service if it has one."""
    main, *services = workload.manifests()
    template = main["spec"]["jobTemplate"]["spec"] if workload.kind == "CronJob" else main["spec"]
    template["template"] = _pod(workload, flaws)
    if "replicas" in main["spec"]:
        main["spec"]["replicas"] = 2
    return [main, *services]


def everything(flaws: Flaws) -> list[Document]:
    """Namespaces, workloads and Services."""
    return [*namespaces(flaws)] + [
        document
        for workload in WORKLOADS
        for document in manifests(workload, flaws[workload.kind, workload.namespace, workload.name])
    ]


_WITHOUT: dict[str, Document] = {
    "keeps-capabilities": {"container": {"securityContext": {"capabilities": {"drop": ["ALL"]}}}},
    "no-seccomp": {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}},
    "writable-root": {"container": {"securityContext": {"readOnlyRootFilesystem": True}}},
    "root": {"securityContext": {"runAsNonRoot": True}},
    "escalation": {"container": {"securityContext": {"allowPrivilegeEscalation": False}}},
    "no-limits": {"container": {"resources": {"limits": {"memory": "256Mi"}}}},
    "no-probes": {"container": {"livenessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 10}}},
    "token": {"automountServiceAccountToken": False},
}
"""Parts of the spec of a Pod without the flaw."""
_WITH: dict[str, Document] = {
    "uid-zero": {"securityContext": {"runAsUser": 0}},
    "privileged": {"container": {"securityContext": {"privileged": True}}},
    "host-path": {"volumes": [{"name": "host", "hostPath": {"path": "/var/log"}}]},
    "host-namespaces": {"hostPID": True},
    "host-ports": {"container": {"ports": [{"containerPort": 8080, "hostPort": 8080}]}},
    "docker-socket": {"volumes": [{"name": "docker", "hostPath": {"path": "/var/run/docker.sock"}}]},
    "capabilities": {"container": {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}},
}
"""Parts of the spec of a Pod with the flaw."""


def _pod(workload: Workload, flaws: Collection[str]) -> Document:
    absent = {*_WITHOUT} - {*flaws}
    if "privileged" in flaws:
        absent.discard("escalation")  # the API server rejects the two together
    spec: Document = {"container": {"name": "app", "image": _image(workload, flaws)}}
    for part in (*(_WITHOUT[flaw] for flaw in sorted(absent)), *(_WITH[f] for f in sorted({*_WITH} & {*flaws}))):
        _merge(spec, part)
    spec["containers"] = [spec.pop("container")]
    spec["terminationGracePeriodSeconds"] = 1  # the deletion of a namespace waits for half of it
    if workload.kind == "CronJob":
        spec["restartPolicy"] = "Never"
    labels = {"app.kubernetes.io/name": workload.name, "team": workload.team}
    if "no-labels" not in flaws:
        labels["app.kubernetes.io/part-of"] = "harbour"
    return {"metadata": {"labels": labels}, "spec": spec}


def _merge(into: Document, part: Document) -> None:
    for key, value in part.items():
        if isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        elif isinstance(value, list):
            into[key] = [*into.get(key, []), *value]
        else:
            into[key] = value


def _image(workload: Workload, flaws: Collection[str]) -> str:
    name, _, tag = workload.image.rpartition(":")
    if "latest" in flaws:
        tag = "latest"
    elif tag == "latest":
        tag = "1"
    if "foreign-registry" not in flaws and not name.startswith("registry.harbour.example/"):
        name = f"registry.harbour.example/{name.partition('/')[2]}"
    image = f"{name}:{tag}"
    return image if "no-digest" in flaws else f"{image}@sha256:{hashlib.sha256(image.encode()).hexdigest()}"
