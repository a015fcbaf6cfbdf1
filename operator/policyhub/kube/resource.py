"""What is read of an API server: one kind of object, in one version.

Pure: no I/O, no clock; nothing here loads a network library.
"""

from collections.abc import Mapping

import msgspec

POLICY_REPORTS = "wgpolicyk8s.io"
OPEN_REPORTS = "openreports.io"
GATEKEEPER = "constraints.gatekeeper.sh"

KYVERNO = "kyverno.io"
KYVERNO_CEL = "policies.kyverno.io"
KUBEWARDEN = "policies.kubewarden.io"
ADMISSION = "admissionregistration.k8s.io"
TEMPLATES = "templates.gatekeeper.sh"

VERSIONS: Mapping[str, tuple[str, ...]] = {
    POLICY_REPORTS: ("v1alpha2", "v1beta1"),
    OPEN_REPORTS: ("v1alpha1",),
    GATEKEEPER: ("v1beta1",),
    KYVERNO: ("v1", "v2beta1"),
    KYVERNO_CEL: ("v1", "v1beta1", "v1alpha1"),
    KUBEWARDEN: ("v1",),
    ADMISSION: ("v1", "v1beta1"),
    TEMPLATES: ("v1", "v1beta1"),
}
"""Those that are read, the preferred first."""


class Resource(msgspec.Struct, frozen=True, order=True):
    """One kind of object in the one version in which it is read."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def origin(self) -> str:
        """As `SourceKey.source_api`: the version is no part of it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def path(self) -> str:
        """Where all its objects, of every namespace, are listed and watched."""
        return self.within("")

    def within(self, namespace: str) -> str:
        """Where those of one namespace are listed, and below which each has its name; empty: as `path`."""
        prefix = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{prefix}/namespaces/{namespace}/{self.plural}" if namespace else f"{prefix}/{self.plural}"
