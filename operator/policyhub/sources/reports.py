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

**Every text is bounded and can be seen** (sources/text.py), and an object has the grammar of one (sources/grammar.py):

| a report has …                                 | then                                                              |
|------------------------------------------------|-------------------------------------------------------------------|
| a source, policy, rule or discriminator that   | cut, with a hash of the whole, so that no two become one: problem |
|   is too long, or that holds what none can see |   `text-too-long`, `unprintable-text`                             |
| another text like that                         | cut, cleaned                                                      |
| an object whose kind or name is none           | not taken as an object, as if none were named: problem            |
|                                                |   `invalid-object`                                                |

Invariant: nothing here depends on the API group or version that a report came through. Pure: no I/O, no clock.
"""

from collections.abc import Iterable

import msgspec

from policyhub.sources import grammar, wire
from policyhub.sources.kinds import Reference, group_of
from policyhub.sources.recent import Recent, known, share
from policyhub.sources.severity import severity_of
from policyhub.sources.spoken import OF_PODS, Spoken
from policyhub.sources.text import LIMIT, NAME, capped, clean, distinct
from policyhub.sources.verdict import MESSAGE_LIMIT, PROPERTIES, bounded, merge
from policyhub.sources.violation import Identity, Reading, SourceKey, Subject, Violation

UNKNOWN_RESULT = "unknown-result"
NO_POLICY = "no-policy"
FOREIGN_NAMESPACE = "foreign-namespace"
UNNAMED_OBJECT = "unnamed-object"
"""One of several objects of a result has no name, so nothing can be said about it."""

INVALID_OBJECT = "invalid-object"
"""What a result names as its object is none: its kind, name, namespace or group has no such grammar."""
TEXT_TOO_LONG = "text-too-long"
UNPRINTABLE_TEXT = "unprintable-text"
"""A part of an identity holds characters that cannot be seen."""

_HARMLESS = frozenset(
    {FOREIGN_NAMESPACE, UNNAMED_OBJECT, INVALID_OBJECT, TEXT_TOO_LONG, UNPRINTABLE_TEXT, wire.MALFORMED_MEMBER}
)
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

ITSELF = "wgpolicyk8s.io"
"""The group of the subject where a result names no object: the report stands for itself, by one name in both APIs."""


def read(group: str, resource: str, raw: bytes | msgspec.Raw, *, latest: int, most: int = 0) -> Reading:
    """`latest` is the last second (Unix time) that a time may name: now and a little; `most` is how many results are
    taken, one for each object that they name (0: all). Raises Malformed.
    """
    report, problems = wire.report(raw)
    over = wire.trim(report, most) if most else 0
    speaker = _Speaker(report, problems)
    found: dict[Identity, list[tuple[Violation, int | None]]] = {}
    newest: dict[str, int] = {}
    spoken = speaker.spoken()
    about: set[tuple[Subject, str]] = set()
    for result in report.results or ():
        if result is None:
            continue
        source = speaker.sources.get(result.source) or speaker.source_of(result)
        passes = result.result in _PASSING
        spoken.hear(result, source, passes=passes)
        about.update(speaker.about(result, source))
        observed = _second(result.timestamp, latest)
        if observed is not None and observed > newest.get(source, 0):
            newest[source] = observed
        if passes:
            continue
        if result.result not in _CALLING:
            problems.append(UNKNOWN_RESULT)
            continue
        for violation in speaker.violations(result, problems):
            found.setdefault(violation.identity, []).append((violation, observed))
    whole = not over and not wire.cut_short(report) and _HARMLESS.issuperset(problems)
    return Reading(
        key=key(group, resource, report.metadata.namespace or "", report.metadata.name, problems),
        violations=tuple(_merged(said) for _, said in sorted(found.items())),
        created=_created(report.metadata),
        complete=whole and not wire.unevaluated(report),
        newest=max(newest.values(), default=None),
        newest_by=tuple(sorted(newest.items())),
        spoke=spoken.objects(),
        about=tuple(sorted(about)),
        passing=spoken.passing(),
        over=over,
        problems=tuple(problems),
    )


def passed(group: str, resource: str, raw: bytes | msgspec.Raw) -> frozenset[Identity]:
    """What this object itself reads as `pass` or `skip`, and nowhere as anything else.

    Positive evidence for its own calls, and for no other object's. Raises Malformed.
    """
    del group, resource  # the evidence is the same through each API
    report, problems = wire.report(raw)
    speaker = _Speaker(report, problems)
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

    def __init__(self, report: wire.Report, problems: list[str]) -> None:
        """What the report as a whole does wrong is added to `problems`."""
        metadata = report.metadata
        self._problems = problems
        self._name = part(metadata.name, problems)
        self._namespace = part(metadata.namespace or "", problems)
        self._source = part((report.source or "").strip() or _labelled(metadata.labels), problems)
        owner = next(iter(metadata.owner_references or ()), None)
        self._benchmark = owner.name if owner is not None and owner.kind == _BENCHMARK else None
        self._about = self._default_reference(report.scope, owner)
        self._default: tuple[Subject, str] | None = None
        self.sources: dict[str | None, str] = {}
        """What `source_of` answers to a word, for the words that decide it alone."""

    def violations(self, result: wire.Result, problems: list[str]) -> list[Violation]:
        told = self._told(result, problems)
        if told is None:
            problems.append(NO_POLICY)
            return []
        source, policy, rule, discriminator = told
        severity = severity_of(result.severity)
        message = (result.message or "").strip()[:MESSAGE_LIMIT]
        if message:  # most are their rule's
            message = known(message) or share(clean(message))
        shown = _shown(result.properties, problems) if result.properties else ()
        if source == _COMPLIANCE and self._benchmark:
            shown = tuple(sorted((*shown, ("benchmark", capped(self._benchmark, LIMIT)))))
        category = (result.category or "").strip()
        if category:
            category = known(category) or _cut(category, problems)
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

    def spoken(self) -> Spoken:
        return Spoken(
            namespace=self._namespace,
            about=lambda result: self._subjects(result, []),
            policy=lambda policy: known(policy) or part(policy, []),
            of_pods=(self._about.kind or "") in OF_PODS,
        )

    def about(self, result: wire.Result, source: str) -> Iterable[tuple[Subject, str]]:
        """Of which objects the result says something, and who says it."""
        if not result.resources and self._default is not None:
            return ((self._default[0], source),)
        return ((subject, source) for subject, _ in self._subjects(result, []))

    def identities(self, result: wire.Result, problems: list[str]) -> list[Identity]:
        told = self._told(result, problems)
        if told is None:
            return []
        source, policy, rule, discriminator = told
        return [
            (source, policy, rule, s.group, s.kind, s.namespace, s.name, discriminator)
            for s, _ in self._subjects(result, problems)
        ]

    def _told(self, result: wire.Result, problems: list[str]) -> tuple[str, str, str, str] | None:
        """Source, policy, rule, discriminator: the part of an identity that stands in the result alone."""
        policy, rule = result.policy or "", result.rule or ""
        if policy:
            policy = known(policy) or part(policy, problems)
        if rule:
            rule = known(rule) or part(rule, problems)
        if not policy and not rule:
            return None
        source = self.source_of(result)
        telling = _DISCRIMINATORS.get(source)
        if telling is None:
            return source, policy, rule, ""
        return source, policy, rule, part((result.properties or {}).get(telling, ""), problems)

    def source_of(self, result: wire.Result) -> str:
        known_as = self.sources.get(result.source)
        if known_as is not None:
            return known_as
        named = (result.source or "").strip()
        named = part(named, self._problems) if named else self._source
        if not named:
            return _KUBE_BENCH if (result.properties or {}).keys() >= _KUBE_BENCH_MARKS else _UNKNOWN_SOURCE
        self.sources[result.source] = named
        return named

    def _subjects(self, result: wire.Result, problems: list[str]) -> list[tuple[Subject, str]]:
        """Each with its apiVersion; without those that this report may not or cannot name."""
        found: list[tuple[Subject, str]] = []
        if result.resources:
            named = [ref for ref in result.resources if ref is not None and ref.name]
            if named:
                if len(named) < len(result.resources):
                    problems += [UNNAMED_OBJECT] * (len(result.resources) - len(named))
                no_object = False
                for ref in named:
                    subject = self._subject(ref, problems)
                    if subject is _NO_OBJECT:
                        no_object = True
                    elif subject is not None:
                        found.append(subject)
                if not no_object:
                    return found
        if self._default is None:
            self._default = self._subject(self._about, problems)
        return found if self._default is None else [*found, self._default]

    def _default_reference(self, scope: Reference | None, owner: Reference | None) -> Reference:
        """What a result is about that names no object."""
        for ref in (scope, owner):
            if ref is not None and ref.name:
                if is_object(ref):
                    return ref
                self._problems.append(INVALID_OBJECT)
        # One word for both APIs: the same scan through another API is the same finding.
        kind = "PolicyReport" if self._namespace else "ClusterPolicyReport"
        return Reference(api_version=f"{ITSELF}/v1alpha2", kind=kind, name=self._name)

    def _subject(self, ref: Reference, problems: list[str]) -> tuple[Subject, str] | None:
        """None where this report may not name it, _NO_OBJECT where nothing can be called so."""
        if ref is wire.UNREADABLE:
            problems.append(wire.MALFORMED_RESULT)
            return None
        name, namespace = ref.name or "", ref.namespace or ""
        typed = _type((ref.api_version, ref.kind)) or _typed(ref)
        if ref is not self._about and (
            typed is None
            or not grammar.is_name(name)
            or (namespace and namespace != self._namespace and not grammar.is_namespace(namespace))
        ):
            problems.append(INVALID_OBJECT)
            return _NO_OBJECT
        group, kind, api_version = typed or _NO_OBJECT_TYPE
        if kind == "Namespace" and not group:
            namespace = "" if name == self._namespace else self._namespace
        elif self._namespace:
            if namespace and namespace != self._namespace:
                problems.append(FOREIGN_NAMESPACE)
                return None
            namespace = self._namespace
        elif namespace:
            namespace = known(namespace) or share(namespace)
        return Subject(group, kind, namespace, name), api_version


_NO_OBJECT = (Subject("", "", "", ""), "")
_NO_OBJECT_TYPE = ("", "", "")
"""Of nothing: what a report is about has been looked at before."""

_types: Recent[tuple[str | None, str | None], tuple[str, str, str]] = Recent(limit=1_000_000)
"""What is written as apiVersion and kind → group, kind and apiVersion; of what has the grammar of them."""
_type = _types.young.get


def _typed(ref: Reference) -> tuple[str, str, str] | None:
    """None where they name no kind of object."""
    found = _type((ref.api_version, ref.kind))
    if found is not None:
        return found
    api_version, kind = ref.api_version or "", ref.kind or ""
    if len(api_version) > LIMIT or not grammar.is_typed(group := group_of(api_version, kind), kind):
        return None
    weight = 2 * (len(api_version) + len(kind))
    found = _types.get((ref.api_version, ref.kind), weight=weight) or (share(group), share(kind), clean(api_version))
    _types.put((ref.api_version, ref.kind), found, weight=weight)
    return found


def is_object(ref: Reference) -> bool:
    """Whether it can be one, by its grammar; what cannot be read is told elsewhere."""
    if ref is wire.UNREADABLE:
        return True
    return (
        _typed(ref) is not None
        and grammar.is_name(ref.name or "")
        and (not ref.namespace or grammar.is_namespace(ref.namespace))
    )


def part(text: str, problems: list[str]) -> str:
    """Of an identity: as it is written where that is short and can be seen, else distinct from all others."""
    if not text:
        return ""
    kept = known(text) or distinct(text)
    if kept == text:
        return share(kept)
    problems.append(TEXT_TOO_LONG if len(text) > LIMIT else UNPRINTABLE_TEXT)
    return kept


def _cut(text: str, problems: list[str]) -> str:
    """A text that only describes."""
    if len(text) > LIMIT:
        problems.append(TEXT_TOO_LONG)
    return share(capped(text, LIMIT))


def key(group: str, resource: str, namespace: str, name: str, problems: list[str]) -> SourceKey:
    """Of a source object; names that no API server of Kubernetes would take are counted."""
    if len(name) > NAME or len(namespace) > NAME:
        problems.append(TEXT_TOO_LONG)
    return SourceKey.named(group, resource, namespace, name)


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


def _shown(properties: dict[str, str], problems: list[str]) -> tuple[tuple[str, str], ...]:
    shown = []
    for key, written in properties.items():
        value = written.strip()
        if not value or key in _VOLATILE:
            continue
        if len(value) > MESSAGE_LIMIT or not (value.isascii() and value.isprintable()):
            value = clean(value[:MESSAGE_LIMIT])
        shown.append((known(key) or _cut(key, problems), value))
    if len(shown) > 1:
        shown.sort()
    kept = bounded(tuple(shown[:PROPERTIES]))
    if len(kept) < min(len(shown), PROPERTIES):
        problems.append(TEXT_TOO_LONG)
    return kept
