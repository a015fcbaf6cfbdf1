"""The objects of the company's cluster, the teams that own them, and their manifests.

Pure: no I/O, no clock.
"""

from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]

REGISTRY = "registry.harbour.example"


@dataclass(frozen=True, slots=True)
class Object:
    """A reference to a Kubernetes object. Cluster-scoped objects have an empty namespace."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def reference(self, uid: str) -> Document:
        """As a report's `scope` names it."""
        named = {"apiVersion": self.api_version, "kind": self.kind, "name": self.name, "uid": uid}
        return {**named, "namespace": self.namespace} if self.namespace else named

    def owner_reference(self, uid: str) -> Document:
        return {"apiVersion": self.api_version, "kind": self.kind, "name": self.name, "uid": uid}


@dataclass(frozen=True, slots=True)
class Workload:
    """A controller of Pods."""

    namespace: str
    kind: str
    name: str
    image: str
    team: str
    port: int = 0
    """Of its Service; 0: it has none."""
    public: bool = False
    """Whether that Service opens a port on every node."""

    @property
    def object(self) -> Object:
        version = "batch/v1" if self.kind == "CronJob" else "apps/v1"
        return Object(version, self.kind, self.namespace, self.name)

    @property
    def service(self) -> Object | None:
        return Object("v1", "Service", self.namespace, self.name) if self.port else None

    def manifests(self) -> list[Document]:
        """The workload itself, and its Service."""
        labels = {"app.kubernetes.io/name": self.name, "team": self.team}
        metadata = {"name": self.name, "namespace": self.namespace, "labels": labels}
        pod = {
            "metadata": {"labels": labels},
            "spec": {
                "containers": [{"name": "app", "image": self.image}],
                **({"restartPolicy": "Never"} if self.kind == "CronJob" else {}),
            },
        }
        if self.kind == "CronJob":
            spec: Document = {"schedule": "15 3 * * *", "jobTemplate": {"spec": {"template": pod}}}
        else:
            spec = {"selector": {"matchLabels": {"app.kubernetes.io/name": self.name}}, "template": pod}
            if self.kind != "DaemonSet":
                spec["replicas"] = 2
            if self.kind == "StatefulSet":
                spec["serviceName"] = self.name
        found: list[Document] = [
            {"apiVersion": self.object.api_version, "kind": self.kind, "metadata": metadata, "spec": spec}
        ]
        if self.port:
            found.append(
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": metadata,
                    "spec": {
                        "type": "NodePort" if self.public else "ClusterIP",
                        "selector": {"app.kubernetes.io/name": self.name},
                        "ports": [{"name": "http", "port": self.port, "protocol": "TCP"}],
                    },
                }
            )
        return found


def _ours(name: str, tag: str) -> str:
    return f"{REGISTRY}/{name}:{tag}"


NAMESPACES = {
    "shop": "storefront",
    "payments": "payments",
    "analytics": "data",
    "platform": "platform",
    "monitoring": "platform",
}
"""Each namespace and the team that owns it."""

WORKLOADS = (
    Workload("shop", "Deployment", "web", _ours("shop/web", "4.12.0"), "storefront", port=80),
    Workload("shop", "Deployment", "cart", _ours("shop/cart", "2.3.1"), "storefront", port=8080),
    Workload("shop", "Deployment", "catalog", _ours("shop/catalog", "latest"), "storefront"),
    Workload("shop", "Deployment", "checkout", _ours("shop/checkout", "1.9.4"), "storefront"),
    Workload("shop", "Deployment", "search", "docker.io/getmeili/meilisearch:v1.12", "storefront"),
    Workload(
        "shop", "Deployment", "legacy-api", "docker.io/library/php:7.4-apache", "storefront", port=80, public=True
    ),
    Workload("shop", "StatefulSet", "sessions", "docker.io/library/redis:7.4", "storefront"),
    Workload("shop", "CronJob", "sitemap", _ours("shop/sitemap", "0.8.2"), "storefront"),
    Workload("payments", "Deployment", "gateway", _ours("payments/gateway", "3.0.7"), "payments", port=8443),
    Workload("payments", "Deployment", "ledger-api", _ours("payments/ledger-api", "1.4.0"), "payments"),
    Workload("payments", "Deployment", "fraud-check", _ours("payments/fraud-check", "0.22.1"), "payments"),
    Workload("payments", "StatefulSet", "ledger", "docker.io/library/postgres:16.6", "payments"),
    Workload("payments", "CronJob", "reconcile", _ours("payments/reconcile", "1.1.3"), "payments"),
    Workload(
        "analytics", "Deployment", "notebook", "quay.io/jupyter/scipy-notebook:latest", "data", port=8888, public=True
    ),
    Workload("analytics", "Deployment", "collector", _ours("analytics/collector", "5.2.0"), "data"),
    Workload("analytics", "StatefulSet", "warehouse", "docker.io/clickhouse/clickhouse-server:24.8", "data"),
    Workload("analytics", "CronJob", "daily-report", _ours("analytics/daily-report", "0.3.9"), "data"),
    Workload(
        "platform", "Deployment", "ingress", "registry.k8s.io/ingress-nginx/controller:v1.12.0", "platform", port=443
    ),
    Workload("platform", "Deployment", "ci-runner", _ours("platform/ci-runner", "17.6"), "platform"),
    Workload("platform", "DaemonSet", "node-agent", _ours("platform/node-agent", "2.0.5"), "platform"),
    Workload("platform", "CronJob", "cert-renewal", _ours("platform/cert-renewal", "1.0.1"), "platform"),
    Workload("monitoring", "StatefulSet", "prometheus", "quay.io/prometheus/prometheus:v3.1.0", "platform"),
    Workload("monitoring", "Deployment", "grafana", "docker.io/grafana/grafana:11.4.0", "platform", port=3000),
    Workload("monitoring", "DaemonSet", "log-shipper", "docker.io/fluent/fluent-bit:3.2", "platform"),
)
