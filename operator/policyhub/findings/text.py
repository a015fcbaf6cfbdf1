"""What a finding says in words. It is read by people who have never seen the cluster, in lists that show 80 characters.

**Title**: `<sentence>: <object> (<cluster>)`, always in this shape: `Disallow Privileged Containers: Deployment
shop/web (prod-eu)`. What has no room gives way in this order: what tells a rule from its policy's others, the end of
the sentence, the middle of the object's name; the cluster never.

**Description**: sentences. Which object in which cluster fails what, by its exact names; that it came back, that it is
only audited; the engine's message, several of them numbered; what its policy says of itself, as far as there is room.

What is wrong: sentence.py. Where it is: kind, namespace and name of the object; `cluster` where the engine names no
object and speaks for the whole cluster. A result that could not be evaluated says so first: it is no breach. Pure: no
I/O, no clock.
"""

import re
from functools import lru_cache

from policyhub.findings.compliance import KUBE_BENCH, VULNERABILITY
from policyhub.findings.limits import ELLIPSIS, clean, cut, fit, length
from policyhub.findings.sentence import behind, filled, index, of_policy, sentence, what
from policyhub.sources.policy import DESCRIPTION as POLICY_DESCRIPTION
from policyhub.sources.results import ITSELF
from policyhub.sources.risk import is_manual
from policyhub.sources.target import meant
from policyhub.sources.violation import Result, Violation

TITLE, DESCRIPTION = 256, 1024
SEEN = 80
"""What a list of findings shows of a title."""

# What a title keeps within what is seen: of a long sentence, of a long object at least, of a cluster's name at most
# (EKS has 100).
_WHAT_SEEN, _OBJECT_SEEN, _CLUSTER = 32, 16, 128

_UNKNOWN = " not evaluated"

_VERBS: dict[Result, str] = {"fail": "fails", "warn": "has a warning from", "error": "could not be evaluated against"}

# Gatekeeper cuts messages at 256 bytes, also within a character, which then reads U+FFFD.
_BROKEN = "\ufffd"
# Kyverno says that it validates, and where as `rule autogen-limits[0] failed at path /spec/containers/0/`.
_VALIDATES = ("validation error: ", "validation failure: ")
_AT_PATH = re.compile(r"\srule \S{1,256} failed at path (/\S{0,1024})")
# Some constraint libraries write their labels before the message: `{"team":"x"} >> the image is too old`.
_LABELS, _LABELLED = 512, "} >> "
_LISTED = " • "
"""Between the messages of one violation (sources/verdict.py)."""
_ENDS = (".", "!", "?", "…", ":", ";", ".)")
_LET_IN = {"dryrun": "admission lets such objects in", "warn": "admission warns and lets such objects in"}
"""What Gatekeeper does where it does not deny."""


def title(violation: Violation, *, cluster: str) -> str:
    """`<sentence>: <object> (<cluster>)`."""
    said, more = sentence(violation)
    unknown = _UNKNOWN if violation.result == "error" else ""
    where, named = _title_where(violation, fit(cluster, _CLUSTER) or "-")
    room = SEEN - length(named) - len(": ") - len(unknown)
    if more and length(f"{said}, {more}") <= room - length(where):
        said = f"{said}, {more}"
    least = min(_WHAT_SEEN, max(_OBJECT_SEEN, room * 3 // 5))
    short = _short(said, max(least, room - length(where)))
    kept = _middle(where, max(_OBJECT_SEEN, room - length(short)))
    return fit(f"{short}{unknown}: {kept}{named}", TITLE) or "policyhub"


def description(violation: Violation, *, cluster: str, relapse: str = "") -> str:
    """What, where and in which cluster come first, so that a cut takes the end of the message. `relapse` says that it
    came back.
    """
    lead = fit(_lead(violation, fit(cluster, _CLUSTER) or "-"), DESCRIPTION // 2) or "policyhub"
    message, policy = _message(violation), of_policy(violation, POLICY_DESCRIPTION)
    audited = _audited(violation.enforcement)
    manual = "This check is made by hand: the scan has found nothing" if is_manual(violation) else ""
    about = f"About the policy: {policy}" if policy and policy not in violation.message else ""
    first = _sentences(lead, relapse, audited, manual)
    said = fit(_sentences(message, about), DESCRIPTION - length(first) - 1)
    return first if said is None else f"{first} {said}"


def clean_message(message: str) -> str:
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


def object_named(violation: Violation) -> str:
    """Kind, namespace and name of the object; `cluster` or `report` where there is none."""
    itself = own_text(violation)
    return "the cluster" if itself == "cluster" else _object(violation, itself)


def own_text(violation: Violation) -> str:
    """`cluster` or `report` where the engine names no object, so that the report itself stands as the subject."""
    subject = violation.subject
    if subject.group != ITSELF or subject.kind not in ("ClusterPolicyReport", "PolicyReport"):
        return ""
    if subject.namespace:  # whoever may write there speaks for that namespace alone
        return "report" if subject.kind == "PolicyReport" else ""
    return "cluster" if subject.kind == "ClusterPolicyReport" else "report"


def _lead(violation: Violation, cluster: str) -> str:
    itself = own_text(violation)
    where = f"Cluster {cluster}" if itself == "cluster" else f"{_object(violation, itself.title())} in {cluster}"
    by = ", ".join(filled(violation.source, *behind(violation), *_report(violation)))
    if violation.source == VULNERABILITY and violation.result != "error":
        properties = dict(violation.properties)
        package = " ".join(filled(what(violation), properties.get("installedVersion", "")))
        fixed = properties.get("fixedVersion", "").strip()
        return f"{where} has {package}{f', fixed in {fixed}' if fixed else ''} ({by})"
    if violation.source in KUBE_BENCH:
        number = index(violation)
        check = f"check {number}" if number else what(violation)
        verb = "has to be looked at by hand for" if is_manual(violation) else _VERBS[violation.result]
        return f"{where} {verb} {check} ({by})"
    called = what(violation)
    if violation.source == "Falco" or (violation.result == "fail" and " " in called):
        return f"{where}: {called} ({by})"  # a title, not a name: it tells by itself what is wrong
    return f"{where} {_VERBS[violation.result]} {called} ({by})"


def _audited(enforcement: str) -> str:
    """That nothing keeps such objects out, where it was said."""
    actions = sorted(set(enforcement.split(", "))) if enforcement else []  # a status may hold one a hundred times
    if not actions or not _LET_IN.keys() >= set(actions):
        return ""
    return f"Audit only, not enforced: {_LET_IN['warn' if 'warn' in actions else 'dryrun']} ({', '.join(actions)})"


def _report(violation: Violation) -> list[str]:
    """The report's name, where it is all that tells one scan (of a node) from another."""
    return [f"report {violation.subject.name}"] if own_text(violation) == "cluster" else []


def _message(violation: Violation) -> str:
    """Several are numbered. Trivy's message is its check's; what it found in this object stands in properties:
    `0. message` and on.
    """
    message, found = _listed_parts(violation.message), found_in(violation)
    return _sentences(message, _numbered(found)) if found else message


@lru_cache(maxsize=1024)  # most are their rule's
def _listed_parts(message: str) -> str:
    return _numbered([text for part in clean_message(message).split(_LISTED) if (text := clean(part))])


def found_in(violation: Violation) -> list[str]:
    """What Trivy has found in this very object."""
    if not violation.source.startswith("Trivy "):
        return []
    return [value for key, value in violation.properties if key.endswith(". message")]


def _numbered(texts: list[str]) -> str:
    """As `(1) one. (2) another.`, where it is more than one."""
    if len(texts) < 2:
        return "".join(texts)
    return _sentences(*(f"({number}) {clean_message(text)}" for number, text in enumerate(texts, 1)))


def _sentences(*texts: str) -> str:
    """Each with a full stop, one after the other."""
    said = [text for part in texts if (text := clean(part))]
    return " ".join(text if text.endswith(_ENDS) else f"{text}." for text in said)


def _short(text: str, room: int) -> str:
    """Cut between words, where that leaves most of it."""
    kept = cut(text, room)
    at_word = kept == text or text.startswith(" ", len(kept) - len(ELLIPSIS))
    words = kept.rpartition(" ")[0]
    return kept if at_word or length(words) < room // 2 else words + ELLIPSIS


def _middle(text: str, room: int) -> str:
    """Cut in the middle: names of one application differ at their ends."""
    if length(text) <= room or not text.isascii():
        return cut(text, room)
    end = (room - 1) // 3
    return text[: room - 1 - end] + ELLIPSIS + text[-end:]


def _title_where(violation: Violation, cluster: str) -> tuple[str, str]:
    """The object, and the cluster as it stands behind."""
    itself = own_text(violation)
    return ("cluster", f" {cluster}") if itself == "cluster" else (_object(violation, itself), f" ({cluster})")


def _object(violation: Violation, kind: str) -> str:
    subject = meant(violation.subject)
    name = "/".join(filled(subject.namespace, subject.name))
    return " ".join(filled(kind or subject.kind, name)) or "an unnamed object"
