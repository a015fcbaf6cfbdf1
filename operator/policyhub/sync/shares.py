"""How much of the operator and of AWS one namespace may take, so that nobody's flood reaches the others.

| limit              | what is counted                                      | beyond it                                |
|--------------------|------------------------------------------------------|------------------------------------------|
| report_bytes       | the JSON of one report                               | the report is not read                   |
| report_results     | results of one report, one for each object they name | the rest is not taken; failures go first |
| namespace_findings | findings of the namespace's own reports              | new ones are not taken                   |
| cluster_findings   | findings of the whole cluster                        | the same, for namespaces that have more  |
|                    |                                                      | than their fair share                    |
| namespace_imports  | imports a day for the namespace's findings           | the others wait for the next day         |

Whatever is not taken makes its source object incomplete: nothing is archived because it is missing. Text counts too: a
namespace's reports may hold `TEXT_BYTES` for each finding that it may have, on average.

A limit is for floods. The largest reports known from real producers have about 2,000 results and 1.5 MiB (what etcd
stores; Kyverno up to 1.10 cut them at 1,000 results), the largest namespaces some 4,000 results of one policy.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from policyhub.clock import NEVER, SteadyMs
from policyhub.sources.filter import namespace_of
from policyhub.sources.violation import ParsedReport, SourceKey, Subject, Violation

DAY_MS = 86_400_000
TEXT_BYTES = 2_048
"""What the claims of one finding may hold on average: real ones hold a few hundred bytes."""
_CLAIM_BYTES = 300
"""Of a claim beside its texts (measured: 256 to 264)."""
_SPOKEN_BYTES = 100
"""Of the note that a source has reported on a Pod."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one report, namespace and cluster may take."""

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
    """Counts one thing by namespace, against a limit for each and one for all of them."""

    def __init__(self, *, namespace: int, cluster: int) -> None:
        self.used: Counter[str] = Counter()
        self.total = 0
        self._namespace = namespace
        self._cluster = cluster

    def add(self, namespace: str, number: int) -> None:
        """`number` may be negative."""
        self.total += number
        left = self.used[namespace] + number
        if left:
            self.used[namespace] = left
        else:
            del self.used[namespace]

    def refuses(self, namespace: str, more: int, *, scoped: bool = True) -> Excess | None:
        """Why there is no room for so much more. `scoped`: the limit of the namespace applies, since somebody who may
        write there asks for it.
        """
        wanted = self.used[namespace] + more
        if scoped and namespace and wanted > self._namespace:
            return Excess.NAMESPACE
        if self.total + more > self._cluster and wanted > self._cluster // max(1, len(self.used)):
            return Excess.CLUSTER
        return None


class Shares:
    """Of one monitored cluster."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.findings = Meter(namespace=limits.namespace_findings, cluster=limits.cluster_findings)
        self._texts = Meter(
            namespace=limits.namespace_findings * TEXT_BYTES, cluster=limits.cluster_findings * TEXT_BYTES
        )
        self._held: dict[SourceKey, int] = {}
        """Bytes that each source object holds."""
        self._days: dict[str, tuple[SteadyMs, int]] = {}
        """By namespace: when its day began, and imports since."""
        self._spent: dict[str, SteadyMs] = {}
        """Namespaces that have no import left, and until when."""

    # -- memory ---------------------------------------------------------------------------------------------------

    def hold(self, reading: ParsedReport) -> Excess | None:
        """Take what a source object says, or tell why it is too much: then what it said before stands."""
        key = reading.key
        before = self._held.get(key, 0)
        size = _size(violation for violation, _ in reading.violations) + _SPOKEN_BYTES * len(reading.covered)
        if size > before and (excess := self._texts.refuses(key.namespace, size - before)) is not None:
            return excess
        if size != before:
            self._texts.add(key.namespace, size - before)
            if size:
                self._held[key] = size
            else:
                del self._held[key]
        return None

    def drop(self, key: SourceKey) -> None:
        """The source object is gone."""
        size = self._held.pop(key, 0)
        if size:
            self._texts.add(key.namespace, -size)

    # -- money ----------------------------------------------------------------------------------------------------

    def spend(self, namespace: str, *, now: SteadyMs) -> None:
        """An import for a finding of this namespace was sent. Findings outside of namespaces have no limit."""
        if not namespace:
            return
        began, number = self._days.get(namespace, (now, 0))
        if now - began >= DAY_MS:
            began, number = now, 0
        self._days[namespace] = (began, number + 1)
        if number + 1 >= self.limits.namespace_imports:
            self._spent[namespace] = began + DAY_MS

    @property
    def tight(self) -> bool:
        """Whether any namespace has used up its imports."""
        return bool(self._spent)

    def spent(self, of: Subject | None, *, now: SteadyMs) -> SteadyMs:
        """Until when findings of this object's namespace are not imported; 0: they are."""
        if of is None:
            return NEVER
        namespace = namespace_of(of)
        until = self._spent.get(namespace, NEVER)
        if until and until <= now:
            del self._spent[namespace]
            del self._days[namespace]
            return NEVER
        return until

    def exhausted(self, *, now: SteadyMs) -> list[str]:
        """Namespaces whose imports of the day are used up."""
        return sorted(namespace for namespace, until in self._spent.items() if until > now)


def _size(violations: Iterable[Violation]) -> int:
    """Bytes, about; texts that several share are counted for each."""
    return sum(
        _CLAIM_BYTES
        + len(violation.message)
        + len(violation.category)
        + (sum(len(key) + len(text) for key, text in violation.properties) if violation.properties else 0)
        for violation in violations
    )
