"""Rolls results of Pods, ReplicaSets and Jobs up to the controller that a person would fix.

The rolled-up violation has the rule name without the prefix that Kyverno adds to copies of a Pod rule, and texts
without the object's own name, so that a rollout does not change it. Pure: no I/O, no clock.
"""

from collections.abc import Iterable
from itertools import pairwise
from string import ascii_letters, digits

import msgspec

from policyhub.clock import WallMs
from policyhub.findings.representative import representative
from policyhub.model.engines import KYVERNO
from policyhub.model.violation import Identity, Subject, Violation

ROLLED_UP_KINDS = frozenset({("", "Pod"), ("apps", "ReplicaSet"), ("batch", "Job")})
"""(group, kind) of objects that a controller creates and deletes."""

_AUTOGEN = ("autogen-cronjob-", "autogen-")
_AUTOGEN_KINDS = frozenset(
    {
        ("", "Pod"),
        ("", "ReplicationController"),
        ("apps", "DaemonSet"),
        ("apps", "Deployment"),
        ("apps", "ReplicaSet"),
        ("apps", "StatefulSet"),
        ("batch", "CronJob"),
        ("batch", "Job"),
    }
)
"""Kinds for which Kyverno creates copies of a Pod rule."""
_MAX_MENTIONS = 50
"""Of an object's name in one text; a text with more is not a message about the object."""
_RULE_NAME_LIMIT = 63
"""Kyverno cuts rule names to this length, prefix included."""

_BEHIND = frozenset(f"{ascii_letters}{digits}-")
_BEFORE = _BEHIND | {"."}
"""Characters next to a name that make it part of a longer name."""


def is_rolled_up(subject: Subject) -> bool:
    return (subject.group, subject.kind) in ROLLED_UP_KINDS


def rule_of(source: str, rule: str, subject: Subject) -> str:
    """The rule name that its author gave, cut to the length that fits into the names of its copies.

    | subject    | rule names                                | cut to       |
    |------------|-------------------------------------------|--------------|
    | CronJob    | `autogen-cronjob-NAME`; `NAME` for Pods   | 47 characters|
    | Deployment…| `autogen-NAME`; `NAME` for Pods           | 55 characters|

    An author may call a rule `cronjob-NAME`. Its copy for a Deployment is `autogen-cronjob-NAME`, which is not a copy
    of the rule `NAME`.
    """
    if source != KYVERNO or not rule or (subject.group, subject.kind) not in _AUTOGEN_KINDS:
        return rule
    for prefix in _AUTOGEN if subject.kind == "CronJob" else _AUTOGEN[1:]:
        if rule.startswith(prefix):
            rule = rule.removeprefix(prefix)
            break
    if subject.kind == "Pod":
        return rule
    return rule[: _RULE_NAME_LIMIT - len(_AUTOGEN[0 if subject.kind == "CronJob" else 1])]


def rolled_up(violation: Violation, subject: Subject) -> Violation:
    """The violation rolled up to `subject`, which may be its own subject. The same object if nothing changes."""
    rule = rule_of(violation.source, violation.rule, subject)
    old = violation.subject
    if old == subject:
        return violation if rule == violation.rule else msgspec.structs.replace(violation, rule=rule)
    return msgspec.structs.replace(
        violation,
        rule=rule,
        subject=subject,
        own=False,
        api_version="",
        message=_without_name(violation.message, old),
        properties=tuple((key, _without_name(value, old)) for key, value in violation.properties),
    )


def _without_name(text: str, subject: Subject) -> str:
    """The text with `<pod>` instead of the object's name, which the next rollout changes. A name that is part of a
    longer one stays.
    """
    name = subject.name
    if not name or name not in text or text.count(name) > _MAX_MENTIONS:
        return text
    pieces = text.split(name)
    last = len(pieces) - 1
    parts = [pieces[0]]
    for number, (left, right) in enumerate(pairwise(pieces), 1):
        before = left[-1:] or (name[-1] if number > 1 else "")
        other_names = right[:1] or (name[0] if number < last else "")
        standalone = before not in _BEFORE and other_names not in _BEHIND
        parts += (f"<{subject.kind.lower()}>" if standalone else name, right)
    return "".join(parts)


def normalized_identity(identity: Identity) -> Identity:
    """The identity with the rule name that its author gave."""
    rule = rule_of(identity.source, identity.rule, identity.subject)
    return identity if rule == identity.rule else msgspec.structs.replace(identity, rule=rule)


def merged_by_identity(claims: Iterable[tuple[Violation, WallMs | None]]) -> list[tuple[Violation, WallMs | None]]:
    """One violation for each identity: the representative one, with the earliest time."""
    found: dict[Identity, list[tuple[Violation, WallMs | None]]] = {}
    for claim in claims:
        found.setdefault(claim[0].identity, []).append(claim)
    return [group[0] if len(group) == 1 else merged(group) for group in found.values()]


def merged(group: list[tuple[Violation, WallMs | None]]) -> tuple[Violation, WallMs | None]:
    """Several claims of one identity as one."""
    times = [observed for _, observed in group if observed is not None]
    return representative(violation for violation, _ in group), min(times, default=None)
