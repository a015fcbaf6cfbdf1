"""The source APIs: one row for each API whose objects report violations.

Derived from the rows: discovery, the RBAC rules in both charts (`make generate`), the doctor's checks, render, and
which reports supersede which (sync/superseded.py). The policies behind the reports have their own table
(policy_apis.py).

Pure: no I/O, no clock.
"""

from collections.abc import Collection
from enum import Enum, auto
from typing import Final, Literal, NamedTuple

import msgspec

from policyhub.api.monitoredcluster import Sources

POLICY_REPORTS: Final = "wgpolicyk8s.io"
OPEN_REPORTS: Final = "openreports.io"
CONSTRAINTS: Final = "constraints.gatekeeper.sh"


class Shape(Enum):
    """How an object states violations: this selects its reader, and decides what a missing violation proves."""

    REPORT = auto()
    """A list of results of any engine: sources/reports.py. One engine may write the same results to several of these
    APIs, or switch from one to another."""
    CONSTRAINT = auto()
    """A status with the violations of the last audit: sources/constraints.py."""


class ReportKind(NamedTuple):
    plural: str
    kind: str
    namespaced: bool


class SourceApi(msgspec.Struct, frozen=True, kw_only=True):
    """One API group whose objects are read."""

    group: str
    versions: tuple[str, ...]
    """The supported versions, the preferred first."""
    kinds: tuple[ReportKind, ...] = ()
    """Empty: every kind of the group is read. Gatekeeper creates a kind for each template."""
    shape: Shape
    switch: Literal["policy_reports", "open_reports", "gatekeeper"]
    """The field of `spec.sources` that enables it."""

    @property
    def resources(self) -> tuple[str, ...]:
        """As in RBAC rules."""
        return tuple(kind.plural for kind in self.kinds) or ("*",)


SOURCE_APIS: Final[tuple[SourceApi, ...]] = (
    SourceApi(
        group=POLICY_REPORTS,
        versions=("v1alpha2", "v1beta1"),
        kinds=(
            ReportKind("policyreports", "PolicyReport", namespaced=True),
            ReportKind("clusterpolicyreports", "ClusterPolicyReport", namespaced=False),
        ),
        shape=Shape.REPORT,
        switch="policy_reports",
    ),
    SourceApi(
        group=OPEN_REPORTS,
        versions=("v1alpha1",),
        kinds=(
            ReportKind("reports", "Report", namespaced=True),
            ReportKind("clusterreports", "ClusterReport", namespaced=False),
        ),
        shape=Shape.REPORT,
        switch="open_reports",
    ),
    SourceApi(group=CONSTRAINTS, versions=("v1beta1",), shape=Shape.CONSTRAINT, switch="gatekeeper"),
)

SOURCE_GROUPS: Final = {api.group: api for api in SOURCE_APIS}
REPORT_GROUPS: Final = frozenset(api.group for api in SOURCE_APIS if api.shape is Shape.REPORT)
_PLURALS: Final = {(api.group, kind.kind): kind.plural for api in SOURCE_APIS for kind in api.kinds}
_OF_CONSTRAINTS: Final = f".{CONSTRAINTS}"


def enabled(switches: Sources) -> frozenset[str]:
    """The API groups that a MonitoredCluster enables."""
    return frozenset(api.group for api in SOURCE_APIS if getattr(switches, api.switch))


def disabled(switches: Sources) -> frozenset[str]:
    return frozenset(SOURCE_GROUPS) - enabled(switches)


def shapes(groups: Collection[str]) -> frozenset[Shape]:
    """The shapes of the objects in these groups."""
    return frozenset(api.shape for api in SOURCE_APIS if api.group in groups)


def plural_of(group: str, kind: str) -> str:
    """The resource of a kind, as in an API path; empty if it is not read."""
    api = SOURCE_GROUPS.get(group)
    if api is None or api.kinds:
        return _PLURALS.get((group, kind), "")
    return kind.lower()


def is_constraint(source_api: str) -> bool:
    """Whether a source API, such as `k8slimits.constraints.gatekeeper.sh`, is a kind of constraint."""
    return source_api.endswith(_OF_CONSTRAINTS)
