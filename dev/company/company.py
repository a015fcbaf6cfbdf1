"""The company: generated from a seed, with its objects and the reports about them.

A workload's flaws are drawn at random by how common they are; some workloads of the demo have fixed flaws in addition.
Pure: no I/O, no clock; equal seeds give equal companies.
"""

import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from dev.company import gatekeeper, kubewarden, kyverno, trivy
from dev.company.gatekeeper import Breach
from dev.company.report import report
from dev.company.workload import NAMESPACES, WORKLOADS, Document, Object, Workload

SEED = 7

_COMMON = {
    "keeps-capabilities": 0.55,
    "no-seccomp": 0.55,
    "writable-root": 0.55,
    "root": 0.45,
    "escalation": 0.5,
    "no-limits": 0.55,
    "no-probes": 0.45,
    "no-digest": 0.7,
    "token": 0.6,
    "no-labels": 0.5,
    "uid-zero": 0.15,
}
"""Share of the workloads with a flaw."""

_FIXED = {
    ("shop", "legacy-api"): {"root", "uid-zero", "no-limits", "no-probes", "writable-root", "host-ports"},
    ("payments", "gateway"): {"root", "token"},
    ("platform", "node-agent"): {"privileged", "host-path", "host-namespaces", "root"},
    ("platform", "ci-runner"): {"docker-socket", "host-path", "root", "capabilities"},
    ("platform", "ingress"): {"host-ports", "capabilities"},
    ("monitoring", "log-shipper"): {"host-path", "root", "host-namespaces"},
}

_AUDITED = ("web", "gateway", "legacy-api")
"""Deployments with a report of Trivy."""
_SCANNED = ("web", "cart", "checkout", "gateway")
"""Deployments with a report of Kubewarden."""

CONTAINER_LIMITS = ("K8sContainerLimits", "containers-must-have-limits")
"""The constraint with more violations than Gatekeeper lists."""

KINDS = ("K8sContainerLimits", "K8sRequiredLabels", "K8sAllowedRepos", "K8sBlockNodePort")
"""Of the constraints."""

Uids = Mapping[Object, str]


@dataclass(frozen=True)
class Company:
    workloads: tuple[Workload, ...]
    flaws: Mapping[Object, frozenset[str]]
    pods: tuple[Breach, ...]
    """All violations of the constraint that has more than it lists."""
    uids: Uids = field(default_factory=dict)
    """Invented, until replaced by those of an API server (`known_as`)."""

    @classmethod
    def build(cls, seed: int = SEED) -> Self:
        rng = random.Random(seed)  # noqa: S311 - a story, no secret
        flaws: dict[Object, frozenset[str]] = {}
        for workload in WORKLOADS:
            drawn = {flaw for flaw, share in _COMMON.items() if rng.random() < share}
            drawn |= _FIXED.get((workload.namespace, workload.name), set())
            if workload.image.endswith(":latest"):
                drawn.add("latest")
            if not workload.image.startswith("registry."):
                drawn.add("foreign-registry")
            flaws[workload.object] = frozenset(drawn)
            if workload.service:
                flaws[workload.service] = frozenset({"node-port"} if workload.public else ())
        for namespace in NAMESPACES:
            open_to_all = {"open-network"} if namespace in {"analytics", "monitoring"} else set()
            flaws[_namespace(namespace)] = frozenset(
                open_to_all | ({"no-quota"} if namespace == "analytics" else set())
            )
        pods = tuple(_unlimited(rng))
        objects = [*flaws, *(_replica_set(w) for w in WORKLOADS if w.name in _AUDITED)]
        uids = {thing: str(uuid.UUID(int=rng.getrandbits(128), version=4)) for thing in objects}
        return cls(WORKLOADS, flaws, pods, uids)

    def known_as(self, uids: Uids) -> "Company":
        """The company with the uids that an API server assigned."""
        return Company(self.workloads, self.flaws, self.pods, {**self.uids, **uids})

    def workload(self, namespace: str, name: str) -> Workload:
        return next(w for w in self.workloads if (w.namespace, w.name) == (namespace, name))

    # -- objects --------------------------------------------------------------------------------------------------

    def namespaces(self) -> list[Document]:
        return [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": team}}}
            for name, team in NAMESPACES.items()
        ]

    def manifests(self) -> list[Document]:
        """Workloads and Services."""
        return [manifest for workload in self.workloads for manifest in workload.manifests()]

    def replica_sets(self) -> list[Document]:
        """The ReplicaSets of Trivy's reports, owned by Deployments; for clusters without a controller manager."""
        found = []
        for workload in self.workloads:
            if workload.name in _AUDITED:
                (deployment, *_) = workload.manifests()
                owner = {**workload.object.owner_reference(self.uids[workload.object]), "controller": True}
                itself = _replica_set(workload)
                metadata = {**deployment["metadata"], "name": itself.name, "ownerReferences": [owner]}
                found.append({**deployment, "kind": "ReplicaSet", "metadata": metadata})
        return found

    # -- reports and constraints ----------------------------------------------------------------------------------

    def documents(self, *, now: int) -> list[Document]:
        """Every report and every constraint. `now` in Unix seconds."""
        return [*self.reports(now=now), *self.constraints(now=now)]

    def reports(self, *, now: int) -> list[Document]:
        by_name = {workload.name: workload for workload in self.workloads}
        return [
            *(self.report(subject, now=now) for subject in self.flaws),
            *(self._open_report(by_name[name].object, now=now) for name in _SCANNED),
            *(self._config_audit(by_name[name], now=now) for name in _AUDITED),
        ]

    def report(self, subject: Object, *, now: int) -> Document:
        """Kyverno's report about one object."""
        excepted = {"disallow-host-path", "restrict-volume-types"} if subject.name == "log-shipper" else set()
        unknown = {"verify-image-signature"} if subject.name == "search" else set()
        results = kyverno.results(subject, self.flaws[subject], now=now, excepted=excepted, unknown=unknown)
        return report(subject, results, uid=self.uids[subject])

    def constraints(self, *, now: int) -> list[Document]:
        return [self.container_limits(now=now), *self._other_constraints(now=now)]

    def container_limits(self, *, now: int, fixed: int = 0) -> Document:
        """The constraint that lists 20 of its 52 violations, without the first `fixed` Pods in Gatekeeper's order."""
        kind, name = CONTAINER_LIMITS
        match = {"kinds": [{"apiGroups": [""], "kinds": ["Pod"]}]}
        return gatekeeper.constraint(
            kind, name, self.pods[fixed:], action="warn", match=match, uid=self._uid(name), now=now
        )

    def _other_constraints(self, *, now: int) -> list[Document]:
        labels, repos, ports = "namespaces-must-have-cost-center", "images-from-our-registry", "no-node-ports"
        namespaces = [
            Breach("", "v1", "Namespace", "", name, "label cost-center is missing")
            for name in ("analytics", "monitoring", "shop")
        ]
        # one Pod, two containers: two violations of one object, which become one finding
        images = [
            Breach("", "v1", "Pod", "analytics", "notebook-64d8c9b7f5-m2xkq", f"container {name}: {image} is not ours")
            for name, image in (("app", "quay.io/jupyter/scipy-notebook:latest"), ("proxy", "docker.io/nginx:1.27"))
        ]
        images.append(Breach("", "v1", "Pod", "shop", "sessions-0", "container app: docker.io/redis:7.4 is not ours"))
        pods = {"kinds": [{"apiGroups": [""], "kinds": ["Pod"]}]}
        return [
            gatekeeper.constraint(
                "K8sRequiredLabels", labels, namespaces, action="dryrun", uid=self._uid(labels), now=now,
                match={"kinds": [{"apiGroups": [""], "kinds": ["Namespace"]}]},
            ),
            gatekeeper.constraint(
                "K8sAllowedRepos", repos, images, action="deny", match=pods, uid=self._uid(repos), now=now, by_pod=False
            ),
            gatekeeper.constraint(
                "K8sBlockNodePort", ports, [], action="deny", uid=self._uid(ports), now=now,
                match={"kinds": [{"apiGroups": [""], "kinds": ["Service"]}]},
            ),
        ]  # fmt: skip

    def _open_report(self, subject: Object, *, now: int) -> Document:
        failing = {"safe-labels"} | ({"seccomp-psp"} if "no-seccomp" in self.flaws[subject] else set())
        failing |= {"env-secrets-scanner"} if subject.name == "gateway" else set()
        return kubewarden.open_report(subject, failing, uid=self.uids[subject], now=now)

    def _config_audit(self, workload: Workload, *, now: int) -> Document:
        seen = {
            "escalation": ["KSV001"], "keeps-capabilities": ["KSV003"], "no-limits": ["KSV011", "KSV018"],
            "root": ["KSV012"], "writable-root": ["KSV014"], "privileged": ["KSV017"], "host-path": ["KSV023"],
        }  # fmt: skip
        failing = [check for flaw in self.flaws[workload.object] for check in seen.get(flaw, ())]
        subject = _replica_set(workload)
        return trivy.config_audit(subject, failing, uid=self.uids[subject], now=now)

    @staticmethod
    def _uid(name: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.harbour.example"))


def _namespace(name: str) -> Object:
    return Object("v1", "Namespace", "", name)


def _replica_set(workload: Workload) -> Object:
    digest = uuid.uuid5(uuid.NAMESPACE_DNS, workload.image).hex[:9]
    return Object("apps/v1", "ReplicaSet", workload.namespace, f"{workload.name}-{digest}")


def _unlimited(rng: random.Random) -> list[Breach]:
    """Pods without limits, most of them of jobs."""
    letters = "bcdfghjklmnpqrstvwxz2456789"  # the alphabet of Kubernetes' name suffixes

    def end(length: int) -> str:
        return "".join(rng.choices(letters, k=length))

    names = [("analytics", f"daily-report-2939{rng.randrange(1000, 9999)}-{end(5)}") for _ in range(30)]
    names += [("payments", f"reconcile-2939{rng.randrange(1000, 9999)}-{end(5)}") for _ in range(12)]
    names += [("shop", f"search-{end(9)}-{end(5)}") for _ in range(6)]
    names += [("platform", f"ci-runner-{end(9)}-{end(5)}") for _ in range(4)]
    message = "container <app> has no memory limit"
    return sorted(Breach("", "v1", "Pod", namespace, name, message) for namespace, name in names)
