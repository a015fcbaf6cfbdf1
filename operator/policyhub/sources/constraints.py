"""What a Gatekeeper constraint says: its audit's list of violations, whatever the constraint's kind.

The policy is the constraint's kind (its template), the rule its name. Several violations of one object (one for each
container) are one violation whose message lists the distinct messages; messages may change daily ("819 days old") and
are no part of an identity.

Each is a `fail`, whatever the enforcement action: the audit has found an object that does not meet the policy, as
Kyverno's `fail` under an Audit policy has. How admission would react (deny, warn, dryrun) is no severity: it says
whether such objects are still let in, whatever harm they do. It is kept as it was written.

| the list is                                            | then                                                   |
|--------------------------------------------------------|--------------------------------------------------------|
| complete, from an audit                                | an absent violation is spoken to be gone               |
| shorter than `totalViolations` (20 by default; or 0)   | `unlisted` > 0, a `notice` says so, and absence says   |
|                                                        | nothing, but below the `boundary`, where there is one  |
| without `auditTimestamp`, or there is no status        | not audited yet: absence says nothing                  |
| of a `scoped` constraint that leaves out the audit     | never audited: absence says nothing                    |
| partly unreadable (which object, how many)             | a problem is counted, and absence says nothing         |

Since 3.16 Gatekeeper lists the smallest violations in order of (group, version, kind, namespace, name, message), the
greatest first: of a list in that order the first entry is the boundary, and whatever is below it and not listed is no
violation. Before 3.16 the list is any part of them, as a rule in ascending order. A list that names one object only is
in every order and shows none. Strings compare as in Go, by bytes of UTF-8, which is by code points, as in Python.

What a constraint's annotations say of controls, standards and remediation is said of each of its violations.

An entry whose kind or name has not the grammar of one (sources/grammar.py) counts for the constraint itself: problem
`invalid-object`. Texts are bounded as those of reports are.

A constraint is cluster-scoped and written by Gatekeeper: it speaks for every namespace. Pure: no I/O, no clock.
"""

from itertools import pairwise
from typing import Any

import msgspec

from policyhub.sources import grammar
from policyhub.sources.engines import GATEKEEPER
from policyhub.sources.kinds import known_group
from policyhub.sources.policy import Policy, policy_of
from policyhub.sources.problems import INVALID_OBJECT, key, part
from policyhub.sources.recent import share
from policyhub.sources.source_apis import CONSTRAINTS
from policyhub.sources.text import LIMIT, clean, line
from policyhub.sources.truncation import MOST, Truncation
from policyhub.sources.verdict import MESSAGE_LIMIT, bounded, merge
from policyhub.sources.violation import Identity, Malformed, ObjectRef, ParsedReport, Severity, Subject, Violation
from policyhub.sources.wire import (
    EARLIEST,
    MALFORMED_MEMBER,
    MALFORMED_RESULT,
    Name,
    Time,
    members,
    metadata_of,
    untyped,
)

NAMING = ("group", "kind", "namespace", "name")
"""The members of an entry that tell which object it is about."""

_SCOPED = "scoped"
_AUDITED = frozenset({"audit.gatekeeper.sh", "*"})
"""The enforcement points of which one must be named for the audit to look at a scoped constraint."""

_ORDERED = 2
"""The objects that an order can be seen in."""

_MOST_ACTIONS = 16
"""Of one entry; Gatekeeper knows four."""


class _Metadata(msgspec.Struct, rename="camel"):
    name: Name
    creation_timestamp: Time | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Point(msgspec.Struct, gc=False):
    name: str | None = None


class _Scoped(msgspec.Struct, rename="camel"):
    action: str | None = None
    enforcement_points: list[_Point | None] | None = None


class _Spec(msgspec.Struct, rename="camel"):
    enforcement_action: str | None = None
    scoped_enforcement_actions: list[_Scoped | None] | None = None


class Listed(msgspec.Struct, rename="camel"):
    kind: str
    name: str
    group: str | None = None
    version: str | None = None
    namespace: str | None = None
    message: str | None = None
    enforcement_action: str | None = None
    enforcement_actions: list[str | None] | None = None


class _Status(msgspec.Struct, rename="camel"):
    audit_timestamp: Time | None = None
    total_violations: int | None = None
    violations: list[Listed | None] | None = None


class Constraint(msgspec.Struct):
    kind: str
    metadata: _Metadata
    spec: _Spec | None = None
    status: _Status | None = None


_constraint = msgspec.json.Decoder(Constraint)


def read(
    resource: str, raw: bytes | msgspec.Raw, *, latest: int, template: Severity | None = None, most: int = 0
) -> ParsedReport:
    """`latest` is the last second (Unix time) that a time may name: now and a little; `template` the severity that the
    constraint's template names; `most` how many violations are taken, the rest counts as unlisted (0: all). Raises
    Malformed.
    """
    constraint, problems = _decoded(raw)
    metadata, status = constraint.metadata, constraint.status or _Status()
    listed = [entry for entry in status.violations or () if entry is not None]
    over = max(0, len(listed) - most) if most else 0
    if over:
        listed = listed[:most]
    audited = None if status.audit_timestamp is None else int(status.audit_timestamp.timestamp())
    observed = audited if audited is not None and EARLIEST <= audited <= latest else None
    found: dict[Identity, list[Violation]] = {}
    policy = policy_of(metadata.annotations, metadata.labels)
    policy = msgspec.structs.replace(policy, severity=policy.severity or template)
    places: list[ObjectRef] = []
    itself = _itself(constraint, problems)
    for entry in listed:
        violation = _violation(itself, constraint.spec or _Spec(), entry, policy=policy, problems=problems)
        found.setdefault(violation.identity, []).append(violation)
        places.append(violation.object_ref)
    lost = problems.count(MALFORMED_RESULT)
    total, written = min(status.total_violations or 0, MOST), len(listed) + over + lost
    unlisted = max(over, total - len(listed) - lost)
    told = audited is not None and lost == 0 and _is_audited(constraint.spec or _Spec())
    truncation = Truncation(itself, source=GATEKEEPER, policy=itself.kind, rule=itself.name)
    tells = told and unlisted > 0 and len(listed) == len(status.violations or ())
    return ParsedReport(
        key=key(CONSTRAINTS, resource, "", metadata.name, problems),
        violations=tuple((said[0] if len(said) == 1 else merge(said), observed) for _, said in sorted(found.items())),
        created=None if metadata.creation_timestamp is None else int(metadata.creation_timestamp.timestamp()),
        complete=told and unlisted == 0,
        newest=observed,
        unlisted=unlisted,
        audited=audited,
        boundary=_boundary(listed, places) if tells else None,
        newest_by=() if observed is None else ((GATEKEEPER, observed),),
        over=over,
        notice=truncation.notice(listed=written, total=total) if total > written and (listed or not lost) else None,
        problems=tuple(problems),
    )


def _is_audited(spec: _Spec) -> bool:
    if spec.enforcement_action != _SCOPED:
        return True
    scoped = (s for s in spec.scoped_enforcement_actions or () if s is not None)
    return any(p is not None and p.name in _AUDITED for s in scoped for p in s.enforcement_points or ())


def _boundary(listed: list[Listed], places: list[ObjectRef]) -> ObjectRef | None:
    """The greatest place, where the list is in Gatekeeper's order and names more than one object; see the module."""
    ordered: list[tuple[ObjectRef, str]] = []
    for entry, place in zip(listed, places, strict=True):
        written = ObjectRef(entry.group or "", entry.version or "", entry.kind, entry.namespace or "", entry.name)
        if not entry.version or place != written:
            return None  # filled in by us: what Gatekeeper compared was something else
        ordered.append((place, entry.message or ""))
    if any(one < following for one, following in pairwise(ordered)) or len(set(places)) < _ORDERED:
        return None
    return places[0]


def _itself(constraint: Constraint, problems: list[str]) -> Subject:
    """The constraint as a subject: its kind is the policy, its name the rule."""
    return Subject(CONSTRAINTS, part(constraint.kind, problems), "", part(constraint.metadata.name, problems))


def _violation(itself: Subject, spec: _Spec, entry: Listed, *, policy: Policy, problems: list[str]) -> Violation:
    group, version = known_group(entry.group or "", entry.kind), entry.version or ""
    written = entry.group or group
    is_namespace = entry.kind == "Namespace" and not group
    namespace = "" if is_namespace else entry.namespace or ""
    actions = _actions(spec, entry)
    subject = itself
    if _is_object(group, entry.kind, namespace, entry.name):
        subject = Subject(share(group), share(entry.kind), share(namespace), entry.name)
    else:
        problems.append(INVALID_OBJECT)
        written = version = ""
    properties = tuple(sorted((("enforcementAction", ", ".join(actions)), *policy.properties)))
    return Violation(
        source=GATEKEEPER,
        policy=itself.kind,
        rule=itself.name,
        subject=subject,
        discriminator="",
        result="fail",
        severity=policy.severity,
        category=policy.category,
        message=clean((entry.message or "").strip()[:MESSAGE_LIMIT]),
        properties=bounded(properties),
        api_version=_word(f"{written}/{version}" if written and version else version),
        enforcement=share(", ".join(actions)) if _is_stated(spec, entry) else "",
    )


def _is_object(group: str, kind: str, namespace: str, name: str) -> bool:
    return grammar.is_typed(group, kind) and grammar.is_namespace(namespace) and grammar.is_name(name)


def _actions(spec: _Spec, entry: Listed) -> list[str]:
    """What Gatekeeper does about this violation; `deny` is the default of the constraint's schema."""
    action = entry.enforcement_action or spec.enforcement_action or "deny"
    found = {at_point for at_point in entry.enforcement_actions or () if at_point}
    if not found and action == _SCOPED:
        found = {s.action for s in spec.scoped_enforcement_actions or () if s is not None and s.action}
    return [_word(one) for one in sorted(found)[:_MOST_ACTIONS]] or [_word(action)]


def _is_stated(spec: _Spec, entry: Listed) -> bool:
    """Whether anybody has written what Gatekeeper does; else it is the schema's default."""
    return bool(entry.enforcement_action or entry.enforcement_actions or spec.enforcement_action)


def _word(text: str) -> str:
    """Short, on one line."""
    return share(text if len(text) <= 64 and text.isalnum() else line(text))


def _decoded(raw: bytes | msgspec.Raw) -> tuple[Constraint, list[str]]:
    try:
        return _constraint.decode(raw), []
    except msgspec.ValidationError:
        return _tolerant(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("not-json", f"a constraint that is no JSON: {error}") from error


def _tolerant(raw: bytes | msgspec.Raw) -> tuple[Constraint, list[str]]:
    """Entry by entry: one that cannot be read is left out and counted, the others stand."""
    document = untyped(raw)
    problems: list[str] = []
    metadata = metadata_of(document, _Metadata, problems)
    kind = document.get("kind")
    if not isinstance(kind, str):
        raise Malformed("no-kind", f"a constraint named {metadata.name[:LIMIT]!r} whose kind is no text")
    spec, status = document.get("spec"), document.get("status")
    constraint = Constraint(kind=kind, metadata=metadata, status=_status(status, problems))
    try:
        constraint.spec = msgspec.convert(spec, _Spec | None)
    except msgspec.ValidationError:
        problems.append(MALFORMED_MEMBER)
    return constraint, problems


def _status(status: object, problems: list[str]) -> _Status | None:
    if not isinstance(status, dict):
        if status is not None:
            problems.append(MALFORMED_RESULT)
        return None
    listed: Any = status.get("violations")
    if not isinstance(listed, list | None):
        problems.append(MALFORMED_RESULT)
        listed = None
    violations: list[Listed | None] = []
    for entry in listed or ():
        try:
            violations.append(_listed(entry, problems))
        except msgspec.ValidationError:
            problems.append(MALFORMED_RESULT)
    read = _Status(violations=violations)
    try:
        read.audit_timestamp = msgspec.convert(status.get("auditTimestamp"), Time | None)
        read.total_violations = msgspec.convert(status.get("totalViolations"), int | None)
    except msgspec.ValidationError:
        problems.append(MALFORMED_RESULT)  # without them nobody can tell whether the list is whole
    return read


def _listed(entry: object, problems: list[str]) -> Listed | None:
    """What only describes (message, actions, the object's version) may be lost; what names the object may not. Raises
    ValidationError.
    """
    try:
        return msgspec.convert(entry, Listed | None)
    except msgspec.ValidationError:
        if not isinstance(entry, dict):
            raise
        msgspec.convert({name: entry[name] for name in NAMING if name in entry}, Listed)
        return members(entry, Listed, problems)
