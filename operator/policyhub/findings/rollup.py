"""Results on Pods, ReplicaSets and Jobs count for the controller that a person would mend.

How a violation of one object reads once it counts for another: the rule without the prefix that Kyverno gives the
copies of a Pod rule, the object's own name out of its texts. A rollout changes none of it. Pure: no I/O, no clock.
"""

from collections.abc import Iterable
from itertools import pairwise
from string import ascii_letters, digits

import msgspec

from policyhub.clock import WallMs
from policyhub.findings.representative import representative
from policyhub.sources.violation import Identity, Subject, Violation

ROLLED = frozenset({("", "Pod"), ("apps", "ReplicaSet"), ("batch", "Job")})
"""(group, kind) of the objects that come and go with their controller."""

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
"""What Kyverno writes copies of a Pod rule for."""
_MENTIONS = 50
"""Of an object's name in one text; what has more is no message about it."""
_NAME = 63
"""Kyverno cuts the names of rules, prefix included."""

_BEHIND = frozenset(f"{ascii_letters}{digits}-")
_BEFORE = _BEHIND | {"."}
"""What makes a name part of a longer one."""


def is_rolled(subject: Subject) -> bool:
    return (subject.group, subject.kind) in ROLLED


def rule_of(source: str, rule: str, subject: Subject) -> str:
    """The rule as its author called it, as far as the copies for the subject's kind can hold the name.

    | subject    | called by                                 | compared are |
    |------------|-------------------------------------------|--------------|
    | CronJob    | `autogen-cronjob-NAME`, its Pods' `NAME`  | 47 characters|
    | Deployment…| `autogen-NAME`, its Pods' `NAME`          | 55 characters|

    A rule may be called `cronjob-NAME` by its author: of a Deployment it is `autogen-cronjob-NAME`, and another rule
    than `NAME`.
    """
    if source != "kyverno" or not rule or (subject.group, subject.kind) not in _AUTOGEN_KINDS:
        return rule
    for prefix in _AUTOGEN if subject.kind == "CronJob" else _AUTOGEN[1:]:
        if rule.startswith(prefix):
            rule = rule.removeprefix(prefix)
            break
    if subject.kind == "Pod":
        return rule
    return rule[: _NAME - len(_AUTOGEN[0 if subject.kind == "CronJob" else 1])]


def rolled(violation: Violation, subject: Subject) -> Violation:
    """The violation as one of `subject`, which may be its own. The same one where nothing changes."""
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
        message=_unnamed(violation.message, old),
        properties=tuple((key, _unnamed(value, old)) for key, value in violation.properties),
    )


def _unnamed(text: str, subject: Subject) -> str:
    """Without the name of an object that the next rollout replaces: `<pod>`. A name within a longer one stays."""
    name = subject.name
    if not name or name not in text or text.count(name) > _MENTIONS:
        return text
    pieces = text.split(name)
    last = len(pieces) - 1
    made = [pieces[0]]
    for number, (left, right) in enumerate(pairwise(pieces), 1):
        before = left[-1:] or (name[-1] if number > 1 else "")
        behind = right[:1] or (name[0] if number < last else "")
        alone = before not in _BEFORE and behind not in _BEHIND
        made += (f"<{subject.kind.lower()}>" if alone else name, right)
    return "".join(made)


def identity_of(identity: Identity) -> Identity:
    """The identity of what an object says of itself."""
    source, policy, rule, group, kind, namespace, name, discriminator = identity
    subject = Subject(group, kind, namespace, name)
    return (source, policy, rule_of(source, rule, subject), group, kind, namespace, name, discriminator)


def grouped(calls: Iterable[tuple[Violation, WallMs | None]]) -> list[tuple[Violation, WallMs | None]]:
    """One violation for each identity: who of them speaks, with the earliest time."""
    found: dict[Identity, list[tuple[Violation, WallMs | None]]] = {}
    for call in calls:
        found.setdefault(call[0].identity, []).append(call)
    return [said[0] if len(said) == 1 else joined(said) for said in found.values()]


def joined(said: list[tuple[Violation, WallMs | None]]) -> tuple[Violation, WallMs | None]:
    """Several of one identity as one."""
    times = [observed for _, observed in said if observed is not None]
    return representative(violation for violation, _ in said), min(times, default=None)
