"""Kyverno's reports controller: scans the objects that the policies match, and writes a report for each."""

from collections.abc import Mapping, Sequence

from dev.cluster.client import Document
from dev.engines.engine import Engine

NAMESPACE = "kyverno"
FILTERS = "[Event,*,*] [*/*,kyverno,*] [*/*,kube-system,*] [*/*,gatekeeper-system,*] [*/*,policyhub,*]"
"""Objects that it ignores; the constraints exclude the same namespaces."""


class Kyverno(Engine):
    name = "kyverno"
    program = "kyverno-reports-controller"
    interval_seconds = 30
    """Between scans of everything; changed objects are scanned immediately. Applies from the next start."""
    open_reports = False
    """Whether it writes into openreports.io instead of wgpolicyk8s.io; applies from the next start."""

    def objects(self) -> list[Document]:
        def named(kind: str, name: str, **more: object) -> Document:
            metadata = {"name": name, "namespace": NAMESPACE}
            return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **more}

        return [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            named("ServiceAccount", "kyverno-reports-controller"),
            named("ConfigMap", "kyverno", data={"resourceFilters": FILTERS}),
            named("ConfigMap", "kyverno-metrics", data={}),
        ]

    def environ(self) -> Mapping[str, str]:
        return {
            "KYVERNO_NAMESPACE": NAMESPACE,
            "KYVERNO_SERVICEACCOUNT_NAME": "kyverno-reports-controller",
            "KYVERNO_DEPLOYMENT": "kyverno-reports-controller",
            "KYVERNO_POD_NAME": "kyverno-reports-controller-0",
            "INIT_CONFIG": "kyverno",
            "METRICS_CONFIG": "kyverno-metrics",
        }

    def flags(self) -> Sequence[str]:
        return (
            f"--kubeconfig={self._kubeconfig}",
            "--disableMetrics=true",
            "--backgroundScan=true",
            f"--backgroundScanInterval={self.interval_seconds}s",
            "--admissionReports=false",
            "--skipResourceFilters=false",
            # Else each scan creates an event for each violation, and the deletion of a namespace waits for thousands.
            "--omitEvents=PolicyViolation",
            "--clientRateLimitQPS=300",
            "--clientRateLimitBurst=600",
            # Else it silently stops writing reports: Gatekeeper's bindings have names that are too long for a label.
            "--validatingAdmissionPolicyReports=false",
            f"--openreportsEnabled={str(self.open_reports).lower()}",
        )
