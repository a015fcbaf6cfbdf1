"""Reads a Gatekeeper constraint of any kind: the violations that its last audit lists.

The policy is the constraint's kind (its template), the rule its name. Several violations of one object (one for each
container) become one violation whose message lists the distinct messages. Messages may change daily ("819 days old")
and are not part of an identity.

Each result is `fail`, whatever the enforcement action: the audit found an object that violates the policy, as with
Kyverno's `fail` under an Audit policy. The reaction of admission (deny, warn, dryrun) is not a severity: it decides
whether such objects are still admitted, not how much harm they do. It is kept as written.

| the list                                               | then                                                   |
|--------------------------------------------------------|--------------------------------------------------------|
| is complete, from an audit                             | a missing violation is evidence that it is resolved    |
| is shorter than `totalViolations` (limit 20 by         | `unlisted` > 0, a `notice` reports it, and a missing   |
|   default; may be 0)                                   |   violation is evidence only below the `boundary`      |
| has no `auditTimestamp`, or there is no status         | not audited yet: a missing violation is no evidence    |
| belongs to a `scoped` constraint without the audit     | never audited: a missing violation is no evidence      |
| is partly unreadable (which object, how many)          | a problem is counted, a missing one is no evidence     |

Since 3.16 Gatekeeper lists the smallest violations by (group, version, kind, namespace, name, message), the largest
first. In a list with this order the first entry is the boundary: an object below it that is not listed violates
nothing. Before 3.16 a list holds arbitrary violations, usually in ascending order. A list with only one object fits
every order and proves none. Strings compare as in Go, by bytes of UTF-8, which is by code points, as in Python.

A constraint's annotations about controls, standards and remediation apply to each of its violations.

An entry with an invalid kind or name (model/grammar.py) becomes a violation of the constraint itself: problem
`invalid-object`. Texts are bounded as in reports.

A constraint is cluster-scoped and written by Gatekeeper, so it applies to every namespace. Pure: no I/O, no clock.
"""

from itertools import pairwise
from typing import Any

import msgspec

from policyhub.model import grammar
from policyhub.model.engines import GATEKEEPER
from policyhub.model.kinds import known_group
from policyhub.model.recent import share
from policyhub.model.source_apis import CONSTRAINTS
from policyhub.model.text import LIMIT, clean, line
from policyhub.model.violation import Identity, Malformed, ObjectRef, ParsedReport, Severity, Subject, Violation
from policyhub.sources.merge import MESSAGE_LIMIT, bounded, merge
from policyhub.sources.policy import Policy, policy_of
from policyhub.sources.problems import INVALID_OBJECT, key, part
from policyhub.sources.truncation import MAX_TOTAL, Truncation
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
"""The members of an entry that identify its object."""

_SCOPED = "scoped"
_AUDITED = frozenset({"audit.gatekeeper.sh", "*"})
"""Gatekeeper audits a scoped constraint only if it names one of these enforcement points."""

_ORDERED = 2
"""Minimum number of objects that show an order."""

_MAX_ACTIONS = 16
"""Per entry; Gatekeeper knows four."""


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
    resource: str, raw: bytes | msgspec.Raw, *, latest: int, template: Severity | None = None, limit: int = 0
) -> ParsedReport:
    """`latest` is the latest plausible time in Unix seconds: now plus a tolerance. `template` is the severity in the
    constraint's template. `limit` is the maximum number of violations to read; the rest counts as unlisted (0: all).
    Raises Malformed.
    """
    constraint, problems = _decoded(raw)
    metadata, status = constraint.metadata, constraint.status or _Status()
    listed = [entry for entry in status.violations or () if entry is not None]
    over = max(0, len(listed) - limit) if limit else 0
    if over:
        listed = listed[:limit]
    audited = None if status.audit_timestamp is None else int(status.audit_timestamp.timestamp())
    observed = audited if audited is not None and EARLIEST <= audited <= latest else None
    found: dict[Identity, list[Violation]] = {}
    policy = policy_of(metadata.annotations, metadata.labels)
    policy = msgspec.structs.replace(policy, severity=policy.severity or template)
    refs: list[ObjectRef] = []
    itself = _itself(constraint, problems)
    for entry in listed:
        violation = _violation(itself, constraint.spec or _Spec(), entry, policy=policy, problems=problems)
        found.setdefault(violation.identity, []).append(violation)
        refs.append(violation.object_ref)
    lost = problems.count(MALFORMED_RESULT)
    total, listed_count = min(status.total_violations or 0, MAX_TOTAL), len(listed) + over + lost
    unlisted = max(over, total - len(listed) - lost)
    conclusive = audited is not None and lost == 0 and _is_audited(constraint.spec or _Spec())
    truncation = Truncation(itself, source=GATEKEEPER, policy=itself.kind, rule=itself.name)
    has_end = conclusive and unlisted > 0 and len(listed) == len(status.violations or ())
    has_notice = total > listed_count and (bool(listed) or not lost)
    return ParsedReport(
        key=key(CONSTRAINTS, resource, "", metadata.name, problems),
        violations=tuple((same[0] if len(same) == 1 else merge(same), observed) for _, same in sorted(found.items())),
        created=None if metadata.creation_timestamp is None else int(metadata.creation_timestamp.timestamp()),
        complete=conclusive and unlisted == 0,
        newest=observed,
        unlisted=unlisted,
        audited=audited,
        boundary=_boundary(listed, refs) if has_end else None,
        newest_by=() if observed is None else ((GATEKEEPER, observed),),
        over=over,
        notice=truncation.notice(listed=listed_count, total=total) if has_notice else None,
        problems=tuple(problems),
    )


def _is_audited(spec: _Spec) -> bool:
    if spec.enforcement_action != _SCOPED:
        return True
    scoped = (s for s in spec.scoped_enforcement_actions or () if s is not None)
    return any(p is not None and p.name in _AUDITED for s in scoped for p in s.enforcement_points or ())


def _boundary(listed: list[Listed], refs: list[ObjectRef]) -> ObjectRef | None:
    """The largest listed object; None unless the list is in Gatekeeper's order and names several; see the module."""
    ordered: list[tuple[ObjectRef, str]] = []
    for entry, ref in zip(listed, refs, strict=True):
        original = ObjectRef(entry.group or "", entry.version or "", entry.kind, entry.namespace or "", entry.name)
        if not entry.version or ref != original:
            return None  # we completed it: Gatekeeper compared something else
        ordered.append((ref, entry.message or ""))
    if any(one < following for one, following in pairwise(ordered)) or len(set(refs)) < _ORDERED:
        return None
    return refs[0]


def _itself(constraint: Constraint, problems: list[str]) -> Subject:
    """The constraint as a subject: its kind is the policy, its name the rule."""
    return Subject(CONSTRAINTS, part(constraint.kind, problems), "", part(constraint.metadata.name, problems))


def _violation(itself: Subject, spec: _Spec, entry: Listed, *, policy: Policy, problems: list[str]) -> Violation:
    group, version = known_group(entry.group or "", entry.kind), entry.version or ""
    written_group = entry.group or group
    is_namespace = entry.kind == "Namespace" and not group
    namespace = "" if is_namespace else entry.namespace or ""
    actions = _actions(spec, entry)
    subject = itself
    if _is_object(group, entry.kind, namespace, entry.name):
        subject = Subject(share(group), share(entry.kind), share(namespace), entry.name)
    else:
        problems.append(INVALID_OBJECT)
        written_group = version = ""
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
        api_version=_short(f"{written_group}/{version}" if written_group and version else version),
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
    return [_short(one) for one in sorted(found)[:_MAX_ACTIONS]] or [_short(action)]


def _is_stated(spec: _Spec, entry: Listed) -> bool:
    """Whether the constraint or the entry states an action; otherwise it is the schema's default."""
    return bool(entry.enforcement_action or entry.enforcement_actions or spec.enforcement_action)


def _short(text: str) -> str:
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
    """Reads entry by entry: an unreadable one is left out and counted, the others are kept."""
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
        problems.append(MALFORMED_RESULT)  # without them it is unknown whether the list is complete
    return read


def _listed(entry: object, problems: list[str]) -> Listed | None:
    """Members that only describe (message, actions, the object's version) may be lost, those that name the object may
    not. Raises ValidationError.
    """
    try:
        return msgspec.convert(entry, Listed | None)
    except msgspec.ValidationError:
        if not isinstance(entry, dict):
            raise
        msgspec.convert({name: entry[name] for name in NAMING if name in entry}, Listed)
        return members(entry, Listed, problems)
