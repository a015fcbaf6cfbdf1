"""What a policy report says: (Cluster)PolicyReport of wgpolicyk8s.io and (Cluster)Report of openreports.io.

| result                     | becomes                                                     |
|----------------------------|-------------------------------------------------------------|
| fail, warn, error          | a violation                                                 |
| pass, skip                 | no violation; positive evidence in `passed`                 |
| absent or any other word   | no violation, no evidence: problem `unknown-result`         |

The object of a result is each of its `resources`, else the report's `scope`, else its first owner, else the report
itself. A `resourceSelector` or `scopeSelector` names no object; the empty one that Kubewarden writes means nothing.

**A namespaced report speaks within its namespace and nowhere else**, in both directions, calling and passing: who may
write reports in one namespace must neither raise nor end a finding about another's objects.

| a namespaced report names …                    | then                                                              |
|------------------------------------------------|-------------------------------------------------------------------|
| an object of its own namespace, or of none     | the subject is in the report's namespace                          |
| the Namespace that it lies in                  | the subject is that Namespace, as cluster reports name it         |
| an object of another namespace                 | dropped: problem `foreign-namespace`                              |
| a cluster-scoped object (a Node)               | kept as a statement of this namespace (its subject carries it),   |
|                                                | so it is seen, and is never one with what a cluster report says   |

Invariant: nothing here depends on the API group or version that a report came through. Pure: no I/O, no clock.
"""

from sys import intern

import msgspec

from policyhub.sources import wire
from policyhub.sources.kinds import Reference, group_of
from policyhub.sources.severity import severity_of
from policyhub.sources.verdict import MESSAGE_LIMIT, merge
from policyhub.sources.violation import Identity, Reading, SourceKey, Subject, Violation

UNKNOWN_RESULT = "unknown-result"
NO_POLICY = "no-policy"
FOREIGN_NAMESPACE = "foreign-namespace"
UNNAMED_OBJECT = "unnamed-object"
"""One of several objects of a result has no name, so nothing can be said about it."""

_HARMLESS = frozenset({FOREIGN_NAMESPACE, UNNAMED_OBJECT, wire.MALFORMED_MEMBER})
"""Problems that hide no violation of an object that this report may speak for."""

EARLIEST = 1_420_070_400
"""2015-01-01: what lies before it is no time (Falcosidekick writes the second of the minute, kube-bench 0)."""

_CALLING = frozenset({"fail", "warn", "error"})
_PASSING = frozenset({"pass", "skip"})

# Where no result and no report names its source, the label of the engine does.
_ENGINE_LABELS = ("app.kubernetes.io/managed-by", "wgpolicyk8s.io/engine", "policy.kubernetes.io/engine")
_ENGINES = {"falco-agent": "Falco"}  # so that what leaves out Falco leaves out its older adapter too
_UNKNOWN_SOURCE = "unknown"
_COMPLIANCE = "Trivy Compliance"
_BENCHMARK = "ClusterComplianceReport"
"""The kind of the owner that a report of Trivy Compliance has, named as the benchmark is."""
_KUBE_BENCH = "Kube Bench"
_KUBE_BENCH_MARKS = frozenset({"index", "audit", "test_info"})

# The properties that tell results of one policy, rule and object apart. Trivy's `resultID` is not among them although
# it looks made for it: the adapter hashes the result and the owner's uid into it, so it changes with each rollout, and
# a pass never has the id of the failure that it ends.
_DISCRIMINATORS = {"Trivy Vulnerability": "resource", _KUBE_BENCH: "index"}

# Properties that change without anything having changed: how Kyverno came to look, which revision of a policy spoke.
_VOLATILE = frozenset({"process", "policy-resource-version", "policy-uid", "resultID"})
_PROPERTIES = 64

ITSELF = "wgpolicyk8s.io"
"""The group of the subject where a result names no object: the report stands for itself, by one name in both APIs."""

_OF_PODS = frozenset({"Pod", "ReplicaSet", "Job"})
"""What comes and goes with a controller."""


def read(group: str, resource: str, raw: bytes | msgspec.Raw, *, latest: int, most: int = 0) -> Reading:
    """`latest` is the last second (Unix time) that a time may name: now and a little; `most` is how many results are
    taken, one for each object that they name (0: all). Raises Malformed.
    """
    report, problems = wire.report(raw)
    over = wire.trim(report, most) if most else 0
    speaker = _Speaker(report)
    found: dict[Identity, list[tuple[Violation, int | None]]] = {}
    newest: dict[str, int] = {}
    spoke: set[tuple[Subject, str]] = set()
    for result in report.results or ():
        if result is None:
            continue
        if result.resources or speaker.of_pods:
            spoke.update(speaker.spoke(result))
        observed = _second(result.timestamp, latest)
        if observed is not None:
            source = speaker.sources.get(result.source) or speaker.source_of(result)
            if observed > newest.get(source, 0):
                newest[source] = observed
        if result.result in _PASSING:
            continue
        if result.result not in _CALLING:
            problems.append(UNKNOWN_RESULT)
            continue
        for violation in speaker.violations(result, problems):
            found.setdefault(violation.identity, []).append((violation, observed))
    whole = not over and not wire.cut_short(report) and _HARMLESS.issuperset(problems)
    return Reading(
        key=_key(group, resource, report.metadata),
        violations=tuple(_merged(said) for _, said in sorted(found.items())),
        created=_created(report.metadata),
        complete=whole and not wire.unevaluated(report),
        newest=max(newest.values(), default=None),
        newest_by=tuple(sorted(newest.items())),
        spoke=tuple(sorted(spoke)),
        over=over,
        problems=tuple(problems),
    )


def passed(group: str, resource: str, raw: bytes | msgspec.Raw) -> frozenset[Identity]:
    """What this object itself reads as `pass` or `skip`, and nowhere as anything else.

    Positive evidence for its own calls, and for no other object's. Raises Malformed.
    """
    del group, resource  # the evidence is the same through each API
    report, problems = wire.report(raw)
    speaker = _Speaker(report)
    passing: set[Identity] = set()
    other: set[Identity] = set()
    for result in report.results or ():
        if result is not None:
            into = passing if result.result in _PASSING else other
            into.update(speaker.identities(result, problems))
    if wire.MALFORMED_RESULT in problems:  # what cannot be read may fail what another result passes
        return frozenset()
    return frozenset(passing - other)


class _Speaker:
    """One report, as far as its results share it: who speaks, from which namespace, about what by default."""

    def __init__(self, report: wire.Report) -> None:
        self._metadata = report.metadata
        self._namespace = report.metadata.namespace or ""
        self._source = (report.source or "").strip() or _labelled(report.metadata.labels)
        self._scope = report.scope
        owner = next(iter(report.metadata.owner_references or ()), None)
        self._benchmark = owner.name if owner is not None and owner.kind == _BENCHMARK else None
        self._default: tuple[Subject, str] | None = None
        self.of_pods = (self._default_reference().kind or "") in _OF_PODS
        """Whether it is about one of `_OF_PODS` by default."""
        self.sources: dict[str | None, str] = {}
        """What `source_of` answers to a word, for the words that decide it alone."""

    def violations(self, result: wire.Result, problems: list[str]) -> list[Violation]:
        told = self._told(result)
        if told is None:
            problems.append(NO_POLICY)
            return []
        source, policy, rule, discriminator = told
        severity = severity_of(result.severity)
        message = intern((result.message or "").strip()[:MESSAGE_LIMIT])  # most are their rule's
        shown = _shown(result.properties) if result.properties else ()
        if source == _COMPLIANCE and self._benchmark:
            shown = tuple(sorted((*shown, ("benchmark", self._benchmark))))
        category = intern((result.category or "").strip())
        return [
            Violation(
                source=source,
                policy=policy,
                rule=rule,
                subject=subject,
                discriminator=discriminator,
                result=result.result,  # type: ignore[arg-type]  # the caller has checked the word
                severity=severity,
                category=category,
                message=message,
                properties=shown,
                api_version=api_version,
            )
            for subject, api_version in self._subjects(result, problems)
        ]

    def spoke(self, result: wire.Result) -> list[tuple[Subject, str]]:
        """Of which Pods, ReplicaSets and Jobs the result says something, and who says it."""
        if result.resources and not any(ref is not None and ref.kind in _OF_PODS for ref in result.resources):
            return []
        source = self.sources.get(result.source) or self.source_of(result)
        return [(subject, source) for subject, _ in self._subjects(result, []) if subject.kind in _OF_PODS]

    def identities(self, result: wire.Result, problems: list[str]) -> list[Identity]:
        told = self._told(result)
        if told is None:
            return []
        source, policy, rule, discriminator = told
        return [
            (source, policy, rule, s.group, s.kind, s.namespace, s.name, discriminator)
            for s, _ in self._subjects(result, problems)
        ]

    def _told(self, result: wire.Result) -> tuple[str, str, str, str] | None:
        """Source, policy, rule, discriminator: the part of an identity that stands in the result alone."""
        policy, rule = intern(result.policy or ""), intern(result.rule or "")
        if not policy and not rule:
            return None
        source = self.source_of(result)
        telling = _DISCRIMINATORS.get(source)
        return source, policy, rule, "" if telling is None else (result.properties or {}).get(telling, "")

    def source_of(self, result: wire.Result) -> str:
        known = self.sources.get(result.source)
        if known is not None:
            return known
        named = (result.source or "").strip() or self._source
        if not named:
            return _KUBE_BENCH if (result.properties or {}).keys() >= _KUBE_BENCH_MARKS else _UNKNOWN_SOURCE
        self.sources[result.source] = named = intern(named)
        return named

    def _subjects(self, result: wire.Result, problems: list[str]) -> list[tuple[Subject, str]]:
        """Each with its apiVersion; without those that this report may not or cannot name."""
        if result.resources:
            named = [ref for ref in result.resources if ref is not None and ref.name]
            if named:
                problems += [UNNAMED_OBJECT] * (len(result.resources) - len(named))
                subjects = (self._subject(ref, problems) for ref in named)
                return [subject for subject in subjects if subject is not None]
        if self._default is None:
            self._default = self._subject(self._default_reference(), problems)
        return [] if self._default is None else [self._default]

    def _default_reference(self) -> Reference:
        if self._scope is not None and self._scope.name:
            return self._scope
        owner = next(iter(self._metadata.owner_references or ()), None)
        if owner is not None and owner.name:
            return owner
        # One word for both APIs: the same scan through another API is the same finding.
        kind = "PolicyReport" if self._namespace else "ClusterPolicyReport"
        return Reference(api_version=f"{ITSELF}/v1alpha2", kind=kind, name=self._metadata.name)

    def _subject(self, ref: Reference, problems: list[str]) -> tuple[Subject, str] | None:
        if ref is wire.UNREADABLE:
            problems.append(wire.MALFORMED_RESULT)
            return None
        api_version, kind, name = ref.api_version or "", ref.kind or "", ref.name or ""
        group, namespace = group_of(api_version, kind), ref.namespace or ""
        if kind == "Namespace" and not group:
            namespace = "" if name == self._namespace else self._namespace
        elif self._namespace:
            if namespace and namespace != self._namespace:
                problems.append(FOREIGN_NAMESPACE)
                return None
            namespace = self._namespace
        return Subject(intern(group), intern(kind), intern(namespace), name), intern(api_version)


def _key(group: str, resource: str, metadata: wire.Metadata) -> SourceKey:
    return SourceKey(group, resource, metadata.namespace or "", metadata.name)


def _created(metadata: wire.Metadata) -> int | None:
    return None if metadata.creation_timestamp is None else int(metadata.creation_timestamp.timestamp())


def _second(stamp: wire.Stamp | None, latest: int) -> int | None:
    if stamp is None or stamp.seconds is None or not EARLIEST <= stamp.seconds <= latest:
        return None
    return stamp.seconds


def _merged(said: list[tuple[Violation, int | None]]) -> tuple[Violation, int | None]:
    if len(said) == 1:
        return said[0]
    seconds = [second for _, second in said if second is not None]
    return merge([violation for violation, _ in said]), min(seconds, default=None)


def _labelled(labels: dict[str, str] | None) -> str:
    if not labels:
        return ""
    named = next((value for key in _ENGINE_LABELS if (value := labels.get(key, "").strip())), "")
    return _ENGINES.get(named, named)


def _shown(properties: dict[str, str]) -> tuple[tuple[str, str], ...]:
    shown = [
        (intern(key), value.strip()[:MESSAGE_LIMIT])
        for key, value in properties.items()
        if key not in _VOLATILE and value.strip()
    ]
    if len(shown) > 1:
        shown.sort()
    return tuple(shown[:_PROPERTIES])
