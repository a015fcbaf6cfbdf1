"""Reads the results of one report: the source, the objects, and what their violations contain.

The objects of a result are its `resources`, else the report's `scope`, else its first owner, else the report itself. A
`resourceSelector` or `scopeSelector` names no object; the empty one that Kubewarden writes means nothing.

**A namespaced report applies to its own namespace only**, for violations and for passes: a user who may write reports
in one namespace must neither create nor end a finding about objects of another.

| a namespaced report names …                    | then                                                              |
|------------------------------------------------|-------------------------------------------------------------------|
| an object of its own namespace, or of none     | the subject is in the report's namespace                          |
| the Namespace that it is in                    | the subject is that Namespace, as in cluster reports              |
| an object of another namespace                 | dropped: problem `foreign-namespace`                              |
| a cluster-scoped object (a Node)               | kept as a statement of this namespace, which the subject contains:|
|                                                | it is visible, and never merges with those of cluster reports     |

Pure: no I/O, no clock.
"""

from collections.abc import Iterable

from policyhub.model import grammar
from policyhub.model.engines import ENGINES, KUBE_BENCH, PRODUCERS, TRIVY_COMPLIANCE, TRIVY_KUBE_BENCH
from policyhub.model.kinds import Reference
from policyhub.model.producers import UNKNOWN, Producer
from policyhub.model.recent import known, share
from policyhub.model.severity import severity_of
from policyhub.model.text import LIMIT, NAME, capped, clean, distinct
from policyhub.model.violation import Identity, Severity, Subject, Violation
from policyhub.sources import canonical, wire
from policyhub.sources.coverage import Coverage, Evaluation, Named, by_default, by_object
from policyhub.sources.merge import MESSAGE_LIMIT, PROPERTIES, bounded
from policyhub.sources.objects import is_object, type_known, typed
from policyhub.sources.problems import (
    FOREIGN_NAMESPACE,
    INVALID_OBJECT,
    NO_POLICY,
    TEXT_TOO_LONG,
    UNNAMED_OBJECT,
    described,
    part,
)
from policyhub.sources.truncation import Truncation

# If neither a result nor its report names a source, the label of the engine does.
_ENGINE_LABELS = ("app.kubernetes.io/managed-by", "wgpolicyk8s.io/engine", "policy.kubernetes.io/engine")
_LABELLED_ENGINES = {engine.label: engine.name for engine in ENGINES if engine.label}
_UNKNOWN_SOURCE = "unknown"
_BENCHMARK = "ClusterComplianceReport"
"""The kind of the owner of a Trivy Compliance report; the owner has the name of the benchmark."""
_KUBE_BENCH_MARKS = frozenset({"index", "audit", "test_info"})

# The properties that distinguish results with the same policy, rule and object. Trivy's `resultID` looks suitable but
# is not used: the adapter hashes the result and the owner's uid into it, so it changes with each rollout, and a pass
# never has the id of the failure that it ends.
DISCRIMINATORS = {name: known_as.discriminator for name, known_as in PRODUCERS.items() if known_as.discriminator}

_CATEGORIES = ("category", "categories", "policy.open-cluster-management.io/categories")
"""Properties with the category if the result has none: wg-policy-prototypes at 25056e1f3eb5, policy-report/
samples (sample-cis-k8s.yaml, sample-rhacm-policy.yaml)."""

# Properties that change although nothing has changed: why Kyverno evaluated, which revision of the policy it used.
VOLATILE = frozenset({"process", "policy-resource-version", "policy-uid", "resultID"})

ITSELF = "wgpolicyk8s.io"
"""The group of the subject if a result names no object: the report itself, with the same name in both APIs."""
ITSELF_VERSION = "v1alpha2"

_NO_OBJECT = (Subject("", "", "", ""), "")
_NO_OBJECT_TYPE = ("", "", "")
"""For the default object of a report, which was checked before."""


class ResultReader:
    """Reads the results of one report. They share its source, its namespace, and the object if they name none."""

    def __init__(self, report: wire.Report, problems: list[str]) -> None:
        """Problems of the report itself are added to `problems`."""
        metadata = report.metadata
        self._problems = problems
        namespace = metadata.namespace or ""
        self._namespace = namespace and part(distinct(namespace, NAME), problems)  # as the key has it
        self._source = part(engine_of(report), problems)
        owner = next(iter(metadata.owner_references or ()), None)
        self._benchmark = owner.name if owner is not None and owner.kind == _BENCHMARK else None
        self._name = metadata.name
        self._default_ref = self._default_reference(report.scope, owner, metadata.name)
        self._default: tuple[Subject, str] | None = None
        self.sources: dict[str | None, str] = {}
        """The source by a result's `source`, if that alone decides."""

    def violations(self, result: wire.Result, subjects: Named, problems: list[str]) -> list[Violation]:
        """One violation for each of `subjects`."""
        fields = self._fields(result, problems)
        if fields is None:
            problems.append(NO_POLICY)
            return []
        source, policy, rule, discriminator = fields
        producer = PRODUCERS.get(source, UNKNOWN)
        properties = result.properties or {}
        if properties and (producer.numbered or not producer.special.isdisjoint(properties)):
            properties = canonical.properties(producer, properties)
        severity = severity_of(result.severity) or _severity(producer, properties)
        message = (result.message or "").strip()
        if source == TRIVY_KUBE_BENCH and (number := _check_number(rule)):
            properties |= {"index": number} | ({"remediation": message} if message else {})
            message = rule.partition(" ")[2]
        for mark in producer.marks:
            if mark in message:
                message = canonical.worded(producer, message)
                break
        message = message[:MESSAGE_LIMIT]
        if message:  # most repeat the rule's message
            message = known(message) or share(clean(message))
        shown = _shown(properties, problems) if properties else ()
        if source == TRIVY_COMPLIANCE and self._benchmark:
            shown = tuple(sorted((*shown, ("benchmark", capped(self._benchmark, LIMIT)))))
        category = (result.category or "").strip() or _category(properties)
        if category:
            category = known(category) or described(category, problems)
        return [
            Violation(
                source=source,
                policy=policy,
                rule=rule,
                subject=subject,
                discriminator=discriminator,
                result=result.result,  # type: ignore[arg-type]  # the caller has checked the value
                severity=severity,
                category=category,
                message=message,
                properties=shown,
                api_version=api_version,
            )
            for subject, api_version in subjects
        ]

    def coverage(
        self, evaluations: Iterable[Evaluation], named: list[tuple[Evaluation, Named]], *, few: bool
    ) -> Coverage:
        """The coverage of the report. `evaluations` is from results that name no object, `named` from the others.
        `few`: there are at most `POLICIES` results.
        """
        if self._default is None:
            self._default = self._subject(self._default_ref, [])
        default = [] if self._default is None else [self._default]
        if few and not named:
            return by_default(frozenset(evaluations), default, self._namespace)
        return by_object([*((one, default) for one in evaluations), *named], self._namespace)

    def truncation(self) -> Truncation:
        """For the report itself. Call it after the results were read: its source, which filters use, is theirs."""
        named = set(self.sources.values())
        source = next(iter(named)) if len(named) == 1 else self._source or min(named, default=_UNKNOWN_SOURCE)
        kind = "PolicyReport" if self._namespace else "ClusterPolicyReport"
        return Truncation(Subject(ITSELF, kind, self._namespace, part(self._name, [])), source=source)

    def identities(self, result: wire.Result, problems: list[str]) -> list[Identity]:
        fields = self._fields(result, problems)
        if fields is None:
            return []
        source, policy, rule, discriminator = fields
        return [
            Identity(source, policy, rule, subject, discriminator) for subject, _ in self.subjects(result, problems)
        ]

    def _fields(self, result: wire.Result, problems: list[str]) -> tuple[str, str, str, str] | None:
        """Source, policy, rule and discriminator; None if the result has neither a policy nor a rule."""
        policy, rule = result.policy or "", result.rule or ""
        if policy:
            policy = known(policy) or part(policy, problems)
        if rule:
            rule = known(rule) or part(rule, problems)
        if not policy and not rule:
            return None
        source = self.sources.get(result.source) or self.source_of(result)
        property_key = DISCRIMINATORS.get(source)
        if property_key is None:
            return source, policy, rule, ""
        return source, policy, rule, part((result.properties or {}).get(property_key, ""), problems)

    def source_of(self, result: wire.Result) -> str:
        known_as = self.sources.get(result.source)
        if known_as is not None:
            return known_as
        named = (result.source or "").strip()
        named = part(named, self._problems) if named else self._source
        if not named:
            return KUBE_BENCH if (result.properties or {}).keys() >= _KUBE_BENCH_MARKS else _UNKNOWN_SOURCE
        self.sources[result.source] = named
        return named

    def subjects(self, result: wire.Result, problems: list[str]) -> Named:
        """Each with its apiVersion; without objects that are invalid or that this report may not name."""
        if not result.resources and self._default is not None:
            return [self._default]
        found: Named = []
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
            self._default = self._subject(self._default_ref, problems)
        return found if self._default is None else [*found, self._default]

    def _default_reference(self, scope: Reference | None, owner: Reference | None, name: str) -> Reference:
        """The object of results that name none."""
        for ref in (scope, owner):
            if ref is not None and ref.name:
                if is_object(ref):
                    return ref
                self._problems.append(INVALID_OBJECT)
        # The same name in both APIs: the same scan, read through another API, is the same finding.
        kind = "PolicyReport" if self._namespace else "ClusterPolicyReport"
        return Reference(api_version=f"{ITSELF}/{ITSELF_VERSION}", kind=kind, name=part(name, self._problems))

    def _subject(self, ref: Reference, problems: list[str]) -> tuple[Subject, str] | None:
        """None if it is unreadable or this report may not name it, _NO_OBJECT if no such object can exist."""
        if ref is wire.UNREADABLE:
            problems.append(wire.MALFORMED_RESULT)
            return None
        name, namespace = ref.name or "", ref.namespace or ""
        type_ = type_known((ref.api_version, ref.kind)) or typed(ref)
        if ref is not self._default_ref and (
            type_ is None
            or not grammar.is_name(name)
            or (namespace and namespace != self._namespace and not grammar.is_namespace(namespace))
        ):
            problems.append(INVALID_OBJECT)
            return _NO_OBJECT
        group, kind, api_version = type_ or _NO_OBJECT_TYPE
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


def engine_of(report: wire.Report) -> str:
    """The source of results that name none; empty: unknown."""
    return (report.source or "").strip() or _labelled(report.metadata.labels)


def _labelled(labels: dict[str, str] | None) -> str:
    if not labels:
        return ""
    named = next((value for key in _ENGINE_LABELS if (value := labels.get(key, "").strip())), "")
    return _LABELLED_ENGINES.get(named, named)


def _severity(producer: Producer, properties: dict[str, str]) -> Severity | None:
    """From the producer's property for it, if the result has none."""
    stated = next((text for key in producer.severity if (text := properties.get(key, "").strip())), "")
    return severity_of(producer.ranks.get(stated, stated))


def _category(properties: dict[str, str]) -> str:
    return next((text for key in _CATEGORIES if (text := properties.get(key, "").strip())), "") if properties else ""


def _check_number(rule: str) -> str:
    """`4.1.1` of `4.1.1 Ensure …`; empty if the rule does not start with a number."""
    number, blank, _ = rule.partition(" ")
    return number if blank and number.replace(".", "").isdecimal() else ""


def _shown(properties: dict[str, str], problems: list[str]) -> tuple[tuple[str, str], ...]:
    shown = []
    for key, written in properties.items():
        value = written.strip()
        if not value or key in VOLATILE:
            continue
        if len(value) > MESSAGE_LIMIT or not (value.isascii() and value.isprintable()):
            value = clean(value[:MESSAGE_LIMIT])
        shown.append((known(key) or described(key, problems), value))
    if not shown:
        return ()
    shown.sort()
    kept = bounded(tuple(shown[:PROPERTIES]))
    if len(kept) < min(len(shown), PROPERTIES):
        problems.append(TEXT_TOO_LONG)
    return kept
