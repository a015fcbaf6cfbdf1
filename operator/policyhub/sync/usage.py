"""How much of the operator and of AWS one namespace may use, so that a flood in one does not affect the others.

| limit              | what is counted                                      | beyond it                                |
|--------------------|------------------------------------------------------|------------------------------------------|
| report_bytes       | the JSON of one report                               | the report is not read                   |
| report_results     | results of one report, one for each object they name | the rest is left out; failures go first  |
| namespace_findings | findings of the namespace's own reports              | new ones are left out                    |
| cluster_findings   | findings of the whole cluster                        | new ones are left out in namespaces that |
|                    |                                                      | have more than their fair share          |
| namespace_imports  | imports a day for the namespace's findings           | the others wait for the next day         |

Anything left out makes its source object incomplete: nothing is archived because it is missing. Text is limited too:
the reports of a namespace may hold `TEXT_BYTES` on average for each finding that the namespace may have.

The limits are for floods. The largest known reports of real producers have about 2,000 results and 1.5 MiB (the maximum
that etcd stores; Kyverno up to 1.10 truncated them at 1,000 results). The largest namespaces have about 4,000 results
of one policy.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections import Counter
from collections.abc import Iterable, KeysView
from enum import StrEnum

import msgspec

from policyhub.clock import NEVER, SteadyMs
from policyhub.model.violation import ParsedReport, SourceKey, Subject, Violation
from policyhub.sources.filter import namespace_of

DAY_MS = 86_400_000
TEXT_BYTES = 2_048
"""Average text of the claims of one finding; real ones have a few hundred bytes."""
_CLAIM_BYTES = 300
"""A claim without its texts (measured: 256 to 264)."""
_COVERED_BYTES = 100
"""The record that a source has reported on a Pod."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one report, namespace and cluster."""

    report_bytes: int = 8 * 1024 * 1024
    report_results: int = 5_000
    namespace_findings: int = 50_000
    cluster_findings: int = 1_000_000
    namespace_imports: int = 100_000


class Excess(StrEnum):
    """Which limit was reached."""

    REPORT_BYTES = "report-bytes"
    REPORT_RESULTS = "report-results"
    NAMESPACE = "namespace-limit"
    CLUSTER = "cluster-limit"
    IMPORTS = "namespace-imports"


class Meter:
    """Counts one quantity by namespace, against a limit for each namespace and one for the cluster."""

    def __init__(self, *, namespace: int, cluster: int) -> None:
        self.used: Counter[str] = Counter()
        self.total = 0
        self._namespace = namespace
        self._cluster = cluster

    def add(self, namespace: str, number: int) -> None:
        """`number` may be negative."""
        self.total += number
        used = self.used[namespace] + number
        if used:
            self.used[namespace] = used
        else:
            del self.used[namespace]

    def exceeds(self, namespace: str, more: int, *, scoped: bool = True) -> Excess | None:
        """The limit that `more` would exceed. `scoped`: the limit of the namespace applies, because the source object
        is in it.
        """
        needed = self.used[namespace] + more
        if scoped and namespace and needed > self._namespace:
            return Excess.NAMESPACE
        if self.total + more > self._cluster and needed > self._cluster // max(1, len(self.used)):
            return Excess.CLUSTER
        return None


class Usage:
    """Of one monitored cluster."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.findings = Meter(namespace=limits.namespace_findings, cluster=limits.cluster_findings)
        self._texts = Meter(
            namespace=limits.namespace_findings * TEXT_BYTES, cluster=limits.cluster_findings * TEXT_BYTES
        )
        self._held: dict[SourceKey, int] = {}
        """Bytes of each source object."""
        self._days: dict[str, tuple[SteadyMs, int]] = {}
        """By namespace: when its current day began, and the imports since."""
        self._exhausted: dict[str, SteadyMs] = {}
        """Namespaces that have used up their imports, and until when."""

    # -- memory ---------------------------------------------------------------------------------------------------

    def charge(self, parsed: ParsedReport) -> Excess | None:
        """Charge the text of a source object to its namespace, or return the limit that it exceeds: then its former
        content stays in effect.
        """
        key = parsed.key
        before = self._held.get(key, 0)
        size = _size(violation for violation, _ in parsed.violations) + _COVERED_BYTES * len(parsed.covered)
        if size > before and (excess := self._texts.exceeds(key.namespace, size - before)) is not None:
            return excess
        if size != before:
            self._texts.add(key.namespace, size - before)
            if size:
                self._held[key] = size
            else:
                del self._held[key]
        return None

    def source_objects(self) -> KeysView[SourceKey]:
        """The source objects whose texts are counted."""
        return self._held.keys()

    def drop(self, key: SourceKey) -> None:
        """The source object was deleted."""
        size = self._held.pop(key, 0)
        if size:
            self._texts.add(key.namespace, -size)

    # -- imports --------------------------------------------------------------------------------------------------

    def count_import(self, namespace: str, *, now: SteadyMs) -> None:
        """An import for a finding of this namespace was sent. Cluster-scoped findings have no limit."""
        if not namespace:
            return
        began, number = self._days.get(namespace, (now, 0))
        if now - began >= DAY_MS:
            began, number = now, 0
        self._days[namespace] = (began, number + 1)
        if number + 1 >= self.limits.namespace_imports:
            self._exhausted[namespace] = began + DAY_MS

    @property
    def any_exhausted(self) -> bool:
        """Whether any namespace has used up its imports."""
        return bool(self._exhausted)

    def exhausted_until(self, subject: Subject | None, *, now: SteadyMs) -> SteadyMs:
        """Until when findings of this object's namespace are not imported; 0: they may be."""
        if subject is None:
            return NEVER
        namespace = namespace_of(subject)
        until = self._exhausted.get(namespace, NEVER)
        if until and until <= now:
            del self._exhausted[namespace]
            del self._days[namespace]
            return NEVER
        return until

    def exhausted_namespaces(self, *, now: SteadyMs) -> list[str]:
        """Namespaces that have used up their imports of the day."""
        return sorted(namespace for namespace, until in self._exhausted.items() if until > now)


def _size(violations: Iterable[Violation]) -> int:
    """Approximate bytes; shared texts count for each claim."""
    return sum(
        _CLAIM_BYTES
        + len(violation.message)
        + len(violation.category)
        + (sum(len(key) + len(text) for key, text in violation.properties) if violation.properties else 0)
        for violation in violations
    )
