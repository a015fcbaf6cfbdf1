"""Gatekeeper's audit: checks all objects that the constraints match, at an interval, and writes the status."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dev.cluster.certificate import Authority
from dev.cluster.client import Document
from dev.engines.engine import Engine

NAMESPACE = "gatekeeper-system"
POD = "gatekeeper-audit-0"


class Gatekeeper(Engine):
    name = "gatekeeper"
    program = "gatekeeper"
    interval_seconds = 10
    """Between audits; applies from the next start."""
    limit = 20
    """Maximum number of violations that a constraint lists; applies from the next start."""

    def objects(self) -> list[Document]:
        """Including its Pod, which owns its status objects: without an owner they would be garbage-collected."""
        return [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": POD, "namespace": NAMESPACE},
                "spec": {
                    "containers": [{"name": "audit", "image": f"registry.harbour.example/gatekeeper:{self.version}"}]
                },
            },
        ]

    def install(self) -> None:
        super().install()
        authority = Authority(self._certificates)
        pair = authority.issue("gatekeeper")
        pair.certificate.rename(self._certificates / "tls.crt")
        pair.key.rename(self._certificates / "tls.key")
        self._cache.mkdir()

    @property
    def _certificates(self) -> Path:
        folder = self.folder / "certs"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def _cache(self) -> Path:
        """If it does not exist, every audit fails."""
        return self.folder / "cache"

    def environ(self) -> Mapping[str, str]:
        return {"POD_NAME": POD, "POD_NAMESPACE": NAMESPACE}

    def flags(self) -> Sequence[str]:
        return (
            f"--kubeconfig={self._kubeconfig}",
            "--operation=audit",
            "--operation=status",
            "--operation=generate",
            "--disable-cert-rotation",
            f"--cert-dir={self._certificates}",
            f"--api-cache-dir={self._cache}",
            f"--audit-interval={self.interval_seconds}",
            "--audit-match-kind-only=true",  # else it also reads Kyverno's reports, and an audit takes half a minute
            f"--constraint-violations-limit={self.limit}",
            "--health-addr=127.0.0.1:0",
            "--metrics-addr=0",
            "--prometheus-port=0",
        )
