"""Which violations the MonitoredCluster selects.

| part                    | applies to                                                                               |
|-------------------------|------------------------------------------------------------------------------------------|
| exclude_sources         | the source's name, in upper or lower case                                                |
| event_logs              | results that report events (event_logs.py), except those of the sources in the default   |
|                         | of `spec.sources.exclude`: only that list filters them                                   |
| include, exclude        | globs (`team-*`) over the namespace of a namespaced subject, and over the name of a      |
|   namespaces            | Namespace; other cluster-scoped subjects are in no namespace and always pass             |
| results                 | `fail`, `warn`, `error`                                                                  |
| minimum_severity        | the violation's severity, else that of its risk, else the default                        |
| truncated_lists         | notices of truncated lists; `results` and `minimum_severity` do not apply to them        |

Pure: no I/O, no clock.
"""

from fnmatch import fnmatchcase
from functools import lru_cache

import msgspec

from policyhub.api.monitoredcluster import Spec
from policyhub.model.severity import DEFAULT_SEVERITY
from policyhub.model.violation import SEVERITIES, ParsedReport, Result, Severity, Subject, Violation
from policyhub.sources.event_logs import is_event
from policyhub.sources.merge import SEVERITY_RANK
from policyhub.sources.risk import rated
from policyhub.sources.target import target_of
from policyhub.sources.truncation import is_notice

_SEVERITY_OF: dict[str, Severity] = {severity.lower(): severity for severity in SEVERITIES}
"""By the value in a spec."""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    exclude_sources: tuple[str, ...] = ()
    event_logs: bool = True
    include_namespaces: tuple[str, ...] = ("*",)
    exclude_namespaces: tuple[str, ...] = ()
    results: frozenset[Result] = frozenset({"fail", "warn", "error"})
    minimum_severity: Severity = "INFORMATIONAL"
    default_severity: Severity = "MEDIUM"
    by_risk: bool = True
    """Whether well-known policies get the severity of their risk if no severity is stated."""
    truncated_lists: bool = True

    def rated(self, violation: Violation) -> Violation:
        """With the risk of its policy, if known; `violation` itself if that changes nothing."""
        return rated(violation, by_policy=self.by_risk)

    def admits(self, violation: Violation, *, result: bool = True) -> bool:
        """`result`: whether its result has to be in `results`."""
        if not (self.truncated_lists if is_notice(violation) else self._rates(violation, result=result)):
            return False
        if self.exclude_sources and self._excludes(violation.source):
            return False
        if not self.event_logs and is_event(violation):
            return False
        namespace = namespace_of(violation.subject)
        if not namespace:
            return True
        return _matches(namespace, self.include_namespaces) and not _matches(namespace, self.exclude_namespaces)

    def admits_notice(self, parsed: ParsedReport) -> bool:
        """Whether to report the notice of the object's own list. A list of filtered-out events has none."""
        if parsed.notice is None or not self.admits(parsed.notice):
            return False
        violations = parsed.violations
        return self.event_logs or not violations or not all(is_event(violation) for violation, _ in violations)

    def _rates(self, violation: Violation, *, result: bool) -> bool:
        if result and violation.result not in self.results:
            return False
        return SEVERITY_RANK[violation.label(self.default_severity)] >= SEVERITY_RANK[self.minimum_severity]

    def _excludes(self, source: str) -> bool:
        return source.casefold() in _folded(self.exclude_sources)


@lru_cache(maxsize=256)  # called for each result of each report
def _folded(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.strip().casefold() for name in names)


def namespace_of(subject: Subject) -> str:
    """The namespace that an object belongs to; a Namespace belongs to itself. Empty: none."""
    if subject.namespace:
        return subject.namespace
    if not subject.kind:  # the engine has its own notation (target.py)
        return target_of(subject).namespace
    return subject.name if subject.kind == "Namespace" and not subject.group else ""


def _matches(namespace: str, globs: tuple[str, ...]) -> bool:
    return "*" in globs or any(fnmatchcase(namespace, glob) for glob in globs)


def filter_of(spec: Spec) -> Filter:
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
