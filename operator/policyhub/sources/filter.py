"""Which violations a cluster's owners asked for.

| part                    | applies to                                                                               |
|-------------------------|------------------------------------------------------------------------------------------|
| exclude_sources         | the source's name, without regard to case                                                |
| event_logs              | whether results that tell of events pass (event_logs.py); those that the default of      |
|                         | `spec.sources.exclude` names are left out by it alone                                    |
| include, exclude        | globs (`team-*`) over the namespace of a namespaced subject, and over the name of a      |
|   namespaces            | Namespace; other cluster-scoped subjects are in no namespace and always pass             |
| results                 | `fail`, `warn`, `error`                                                                  |
| minimum_severity        | the violation's severity, that of its risk or the default where its engine names none    |
| truncated_lists         | notices of lists that are not whole; neither of the last two applies to these            |

Pure: no I/O, no clock.
"""

from fnmatch import fnmatchcase
from functools import lru_cache

import msgspec

from policyhub.api.monitoredcluster import Spec
from policyhub.sources.event_logs import tells_of_events
from policyhub.sources.risk import rated
from policyhub.sources.severity import DEFAULT_SEVERITY
from policyhub.sources.target import meant
from policyhub.sources.truncation import is_notice
from policyhub.sources.verdict import SEVERITY_RANK
from policyhub.sources.violation import SEVERITIES, ParsedReport, Result, Severity, Subject, Violation

_SEVERITY_OF: dict[str, Severity] = {severity.lower(): severity for severity in SEVERITIES}
"""By the word of a spec."""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    exclude_sources: tuple[str, ...] = ()
    event_logs: bool = True
    include_namespaces: tuple[str, ...] = ("*",)
    exclude_namespaces: tuple[str, ...] = ()
    results: frozenset[Result] = frozenset({"fail", "warn", "error"})
    minimum_severity: Severity = "INFORMATIONAL"
    default_severity: Severity = "MEDIUM"
    by_risk: bool = True
    """Whether well-known policies have the severity of their risk, where nobody states one."""
    truncated_lists: bool = True

    def rated(self, violation: Violation) -> Violation:
        """With what is known of its policy's risk; the same one where that is nothing."""
        return rated(violation, by_policy=self.by_risk)

    def admits(self, violation: Violation, *, result: bool = True) -> bool:
        """`result`: whether its result has to be one that is asked for."""
        if not (self.truncated_lists if is_notice(violation) else self._rates(violation, result=result)):
            return False
        if self.exclude_sources and self._excludes(violation.source):
            return False
        if not self.event_logs and tells_of_events(violation):
            return False
        namespace = namespace_of(violation.subject)
        if not namespace:
            return True
        return _matches(namespace, self.include_namespaces) and not _matches(namespace, self.exclude_namespaces)

    def wants_notice(self, reading: ParsedReport) -> bool:
        """Whether the notice of the object's own list is asked for: of a list of events that are left out none is."""
        if reading.notice is None or not self.admits(reading.notice):
            return False
        said = reading.violations
        return self.event_logs or not said or not all(tells_of_events(violation) for violation, _ in said)

    def _rates(self, violation: Violation, *, result: bool) -> bool:
        if result and violation.result not in self.results:
            return False
        return SEVERITY_RANK[violation.label(self.default_severity)] >= SEVERITY_RANK[self.minimum_severity]

    def _excludes(self, source: str) -> bool:
        return source.casefold() in _folded(self.exclude_sources)


@lru_cache(maxsize=256)  # each result of each report comes by here
def _folded(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.strip().casefold() for name in names)


def namespace_of(subject: Subject) -> str:
    """The namespace that an object belongs to; that of a Namespace is itself. Empty: none."""
    if subject.namespace:
        return subject.namespace
    if not subject.kind:  # named in one word (target.py)
        return meant(subject).namespace
    return subject.name if subject.kind == "Namespace" and not subject.group else ""


def _matches(namespace: str, globs: tuple[str, ...]) -> bool:
    return "*" in globs or any(fnmatchcase(namespace, glob) for glob in globs)


def filter_of(spec: Spec) -> Filter:
    """What of the reports the MonitoredCluster asks for."""
    return Filter(
        exclude_sources=spec.sources.exclude,
        event_logs=spec.sources.event_logs,
        include_namespaces=spec.namespaces.include,
        exclude_namespaces=spec.namespaces.exclude,
        results=frozenset(spec.results),
        minimum_severity=_SEVERITY_OF[spec.minimum_severity],
        default_severity=DEFAULT_SEVERITY,
        by_risk=spec.severity_by_risk,
        truncated_lists=spec.sources.truncated_lists,
    )
