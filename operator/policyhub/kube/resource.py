"""A resource of an API server: one kind of object in one version.

Pure: no I/O, no clock; no network library is imported.
"""

import msgspec


class Resource(msgspec.Struct, frozen=True, order=True):
    """One kind of object in the one version in which it is read."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def group_resource(self) -> str:
        """As Kubernetes' GroupResource, e.g. `pods`, `jobs.batch`; of a report, its `SourceKey.source_api`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def path(self) -> str:
        """Where all its objects, of every namespace, are listed and watched."""
        return self.within("")

    def within(self, namespace: str) -> str:
        """Where those of one namespace are listed, and below which each has its name; empty: as `path`."""
        prefix = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{prefix}/namespaces/{namespace}/{self.plural}" if namespace else f"{prefix}/{self.plural}"
