"""What a finding says in words. It is read by people who have never seen the cluster, in lists that show 80 characters.

| source              | what is wrong                                     | and behind it         |
|---------------------|---------------------------------------------------|-----------------------|
| Trivy Vulnerability | `CVE-… in <package>`                              |                       |
| Kube Bench          | the check's number and text                       | its section, group    |
| Falco               | the rule; its policy only says whose event it was | the policy            |
| kubescape           | the control's number and name                     |                       |
| gatekeeper          | the template's kind                               | `constraint <name>`   |
| every other         | the policy, else the rule                         | `rule <name>`         |

Where the policy has a title (sources/policy.py), that says what is wrong, and the policy's name stands behind. Its
description follows the message, as far as there is room.

Where it is: kind, namespace and name of the object; `cluster` where the engine names no object and speaks for the whole
cluster. A result that could not be evaluated says so first: it is no breach. Pure: no I/O, no clock.
"""

import re

from policyhub.findings.limits import ELLIPSIS, cut, fit, length
from policyhub.findings.taxonomy import KUBE_BENCH, KUBESCAPE, VULNERABILITY
from policyhub.sources.constraints import SOURCE as GATEKEEPER
from policyhub.sources.policy import DESCRIPTION as POLICY_DESCRIPTION
from policyhub.sources.policy import TITLE as POLICY_TITLE
from policyhub.sources.speaker import ITSELF
from policyhub.sources.violation import Result, Violation

TITLE, DESCRIPTION = 256, 1024
SEEN = 80
"""What a list of findings shows of a title."""

# What a title keeps within what is seen: the least of a long policy's name and of a long object's, the most of a long
# cluster's.
_WHAT_SEEN, _OBJECT_SEEN, _CLUSTER_SEEN = 32, 24, 38

_UNKNOWN = " not evaluated"

_VERBS: dict[Result, str] = {"fail": "fails", "warn": "has a warning from", "error": "could not be evaluated against"}

# Gatekeeper cuts messages at 256 bytes, also within a character, which then reads U+FFFD.
_BROKEN = "\ufffd"
# Kyverno says that it validates, and where as `rule autogen-limits[0] failed at path /spec/containers/0/`.
_VALIDATES = ("validation error: ", "validation failure: ")
_AT_PATH = re.compile(r"\srule \S{1,256} failed at path (/\S{0,1024})")
# Benchmarks say of each check how it is looked at.
_LOOKED_AT = ("(Automated)", "(Manual)", "(Scored)", "(Not Scored)")
# Some constraint libraries write their labels before the message: `{"team":"x"} >> the image is too old`.
_LABELS, _LABELLED = 512, "} >> "


def title(violation: Violation, *, cluster: str) -> str:
    """`<what>: <where> (<cluster>)`; where the object's name is too long for that, the cluster goes before it."""
    cluster, what = cut(cluster, _CLUSTER_SEEN), _heading(violation)
    where = _title_where(violation, cluster)
    if length(where) > SEEN - 2 - min(length(what), _WHAT_SEEN):
        where = _object(violation, speaks_for_itself(violation))
        seen, between = _OBJECT_SEEN, f" in {cluster}: "
    else:
        seen, between = length(where), ": "
    room = max(_WHAT_SEEN, SEEN - seen - length(between))
    short = _short(what, room - length(_UNKNOWN)) + _UNKNOWN if violation.result == "error" else _short(what, room)
    named = filled(violation.policy) if what != _what(violation) else []
    return fit(", ".join([f"{short}{between}{where}", *named, *_behind(violation)]), TITLE) or "policyhub"


def description(violation: Violation, *, cluster: str) -> str:
    """What, where and in which cluster come first, so that a cut takes the end of the message."""
    lead = fit(_lead(violation, cut(cluster, _CLUSTER_SEEN)), DESCRIPTION // 2) or "policyhub"
    message, policy = _message(violation), _of_policy(violation, POLICY_DESCRIPTION)
    if policy and policy not in message:
        message = " ".join(filled(message, f"About the policy: {policy}"))
    said = fit(message, DESCRIPTION - length(lead) - 2)
    return f"{lead}." if said is None else f"{lead}: {said}"


def spoken(message: str) -> str:
    """The message without what its engine adds or breaks."""
    if message.startswith("{"):
        labels, mark, rest = message[1:].partition(_LABELLED)
        if mark and rest and len(labels) <= _LABELS and "{" not in labels and "}" not in labels:
            message = rest
    elif message.startswith(_VALIDATES):
        rest = message.partition(": ")[2]
        message = rest if rest[:1].strip() else message
    if " failed at path " in message:
        message = _AT_PATH.sub(r" (at \1)", message)
    if _BROKEN not in message:
        return message
    said = message.removesuffix("...")
    kept = said.rstrip(_BROKEN)
    return f"{kept}…" if kept != said else message


def filled(*parts: str) -> list[str]:
    return [part for part in parts if part and not part.isspace()]


def speaks_for_itself(violation: Violation) -> str:
    """`cluster` or `report` where the engine names no object, so that the report itself stands as the subject."""
    subject = violation.subject
    if subject.group != ITSELF or subject.kind not in ("ClusterPolicyReport", "PolicyReport"):
        return ""
    if subject.namespace:  # whoever may write there speaks for that namespace alone
        return "report" if subject.kind == "PolicyReport" else ""
    return "cluster" if subject.kind == "ClusterPolicyReport" else "report"


def _lead(violation: Violation, cluster: str) -> str:
    itself = speaks_for_itself(violation)
    where = f"Cluster {cluster}" if itself == "cluster" else f"{_object(violation, itself.title())} in {cluster}"
    by = ", ".join(filled(violation.source, *_behind(violation)))
    if violation.source == VULNERABILITY:
        properties = dict(violation.properties)
        package = " ".join(filled(_what(violation), properties.get("installedVersion", "")))
        fixed = properties.get("fixedVersion", "").strip()
        return f"{where} has {package}{f', fixed in {fixed}' if fixed else ''} ({by})"
    if violation.source in KUBE_BENCH:
        check = " ".join(filled("check", violation.discriminator)) if violation.discriminator else _what(violation)
        return f"{where} {_VERBS[violation.result]} {check} ({by})"
    what = _what(violation)
    if violation.source == "Falco" or (violation.result == "fail" and " " in what):
        return f"{where}: {what} ({by})"  # a title, not a name: it tells by itself what is wrong
    return f"{where} {_VERBS[violation.result]} {what} ({by})"


def _message(violation: Violation) -> str:
    """Trivy's message is its check's; what it found in this object stands in properties: `0. message` and on."""
    message = spoken(violation.message)
    if not violation.source.startswith("Trivy "):
        return message
    return " • ".join(filled(message, *(value for key, value in violation.properties if key.endswith(". message"))))


def _heading(violation: Violation) -> str:
    """What its policy is called by its author, who meant it to be read."""
    return fit(_of_policy(violation, POLICY_TITLE), TITLE) or _what(violation)


def _of_policy(violation: Violation, key: str) -> str:
    return next((value for name, value in violation.properties if name == key), "")


def _what(violation: Violation) -> str:
    policy, rule, discriminator = violation.policy, violation.rule, violation.discriminator
    if violation.source == VULNERABILITY and discriminator:
        policy = f"{policy or rule} in {discriminator}"
    elif violation.source in KUBE_BENCH and discriminator:
        policy = f"{discriminator} {_check(violation.message) or policy}"
    elif violation.source == "Falco":
        policy = rule or policy
    elif violation.source == KUBESCAPE:
        policy = " ".join(filled(policy, rule))
    return fit(policy, TITLE) or fit(rule, TITLE) or fit(violation.source, TITLE) or "policyhub"


def _check(message: str) -> str:
    """The text of a benchmark's check, without how it is looked at."""
    said = spoken(message)
    return next((said.removesuffix(how).rstrip() for how in _LOOKED_AT if said.endswith(how)), said)


def _behind(violation: Violation) -> list[str]:
    policy, rule = violation.policy, violation.rule
    if violation.source == GATEKEEPER:
        return [f"constraint {rule}"] if rule and policy else []
    if violation.source == "Falco":
        return filled(policy) if rule else []
    if violation.source == KUBESCAPE:
        return []
    if violation.source in KUBE_BENCH and violation.discriminator:
        return filled(policy, rule)
    return [f"rule {rule}"] if rule and policy else []


def _short(text: str, room: int) -> str:
    """Cut between words, where that leaves most of it."""
    kept = cut(text, room)
    at_word = kept == text or text.startswith(" ", len(kept) - len(ELLIPSIS))
    words = kept.rpartition(" ")[0]
    return kept if at_word or length(words) < room // 2 else words + ELLIPSIS


def _title_where(violation: Violation, cluster: str) -> str:
    itself = speaks_for_itself(violation)
    return f"cluster {cluster}" if itself == "cluster" else f"{_object(violation, itself)} ({cluster})"


def _object(violation: Violation, kind: str) -> str:
    subject = violation.subject
    name = "/".join(filled(subject.namespace, subject.name))
    return " ".join(filled(kind or subject.kind, name)) or "an unnamed object"
