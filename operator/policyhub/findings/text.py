"""Title and description of a finding, for readers who do not know the cluster, in lists that show 80 characters.

**Title**: always `<sentence>: <object> (<cluster>)`, such as `Disallow Privileged Containers: Deployment shop/web
(prod-eu)`. If it is too long, it loses in this order: the part that distinguishes rules of one policy, the end of the
sentence, the middle of the object's name. The cluster's name is never cut.

**Description**: sentences. First, which object in which cluster fails what, by exact names; then that it came back,
and that it is only audited; then the engine's messages, numbered if there are several; then the policy's description,
if it fits.

sentence.py says what is wrong. The object is shown as kind, namespace and name, or as `cluster` if the engine names no
object and the result concerns the whole cluster. A result that could not be evaluated says so first, because it is no
breach. Pure: no I/O, no clock.
"""

import re
from functools import lru_cache

from policyhub.findings.limits import ELLIPSIS, clean, cut, fit, length
from policyhub.findings.sentence import exact_name, index, non_blank, other_names, policy_property, sentence
from policyhub.model.engines import FALCO, KUBE_BENCH_SOURCES, TRIVY, TRIVY_VULNERABILITY
from policyhub.model.violation import Result, Violation
from policyhub.sources.policy import DESCRIPTION as POLICY_DESCRIPTION
from policyhub.sources.results import ITSELF
from policyhub.sources.risk import is_manual
from policyhub.sources.target import target_of

TITLE, DESCRIPTION = 256, 1024
TITLE_VISIBLE = 80
"""Characters of a title that lists of findings show."""

# Within these: minimum for a long sentence, minimum for a long object, maximum for a cluster's name (EKS has 100).
_MIN_SENTENCE, _MIN_OBJECT, _CLUSTER = 32, 16, 128

_UNKNOWN = " not evaluated"

_VERBS: dict[Result, str] = {"fail": "fails", "warn": "has a warning from", "error": "could not be evaluated against"}

# Gatekeeper cuts messages at 256 bytes, even within a character, which then becomes U+FFFD.
_REPLACEMENT = "\ufffd"
# Kyverno adds a prefix, and the place as `rule autogen-limits[0] failed at path /spec/containers/0/`.
_VALIDATES = ("validation error: ", "validation failure: ")
_AT_PATH = re.compile(r"\srule \S{1,256} failed at path (/\S{0,1024})")
# Some constraint libraries write their labels before the message: `{"team":"x"} >> the image is too old`.
_LABELS, _LABELLED = 512, "} >> "
_LISTED = " • "
"""Separates the messages of one violation (sources/merge.py)."""
_ENDS = (".", "!", "?", "…", ":", ";", ".)")
_AUDIT_ONLY = {"dryrun": "admission lets such objects in", "warn": "admission warns and lets such objects in"}
"""What Gatekeeper does if it does not deny."""


def title(violation: Violation, *, cluster: str) -> str:
    """`<sentence>: <object> (<cluster>)`."""
    phrase, more = sentence(violation)
    unknown = _UNKNOWN if violation.result == "error" else ""
    where, named = _title_where(violation, fit(cluster, _CLUSTER) or "-")
    limit = TITLE_VISIBLE - length(named) - len(": ") - len(unknown)
    if more and length(f"{phrase}, {more}") <= limit - length(where):
        phrase = f"{phrase}, {more}"
    minimum = min(_MIN_SENTENCE, max(_MIN_OBJECT, limit * 3 // 5))
    short = _cut_at_word(phrase, max(minimum, limit - length(where)))
    kept = _cut_middle(where, max(_MIN_OBJECT, limit - length(short)))
    return fit(f"{short}{unknown}: {kept}{named}", TITLE) or "policyhub"


def description(violation: Violation, *, cluster: str, relapse: str = "") -> str:
    """The violation, the object and the cluster come first, so that only the message is cut. `relapse` is the sentence
    that it came back.
    """
    lead = fit(_summary(violation, fit(cluster, _CLUSTER) or "-"), DESCRIPTION // 2) or "policyhub"
    message, policy = _message(violation), policy_property(violation, POLICY_DESCRIPTION)
    audited = _audit_only_text(violation.enforcement)
    manual = "This check is made by hand: the scan has found nothing" if is_manual(violation) else ""
    policy_text = f"About the policy: {policy}" if policy and policy not in violation.message else ""
    first = _sentences(lead, relapse, audited, manual)
    rest = fit(_sentences(message, policy_text), DESCRIPTION - length(first) - 1)
    return first if rest is None else f"{first} {rest}"


def clean_message(message: str) -> str:
    """The message without the engine's prefixes and broken characters."""
    if message.startswith("{"):
        labels, separator, rest = message[1:].partition(_LABELLED)
        if separator and rest and len(labels) <= _LABELS and "{" not in labels and "}" not in labels:
            message = rest
    elif message.startswith(_VALIDATES):
        rest = message.partition(": ")[2]
        message = rest if rest[:1].strip() else message
    if " failed at path " in message:
        message = _AT_PATH.sub(r" (at \1)", message)
    if _REPLACEMENT not in message:
        return message
    untruncated = message.removesuffix("...")
    kept = untruncated.rstrip(_REPLACEMENT)
    return f"{kept}…" if kept != untruncated else message


def object_text(violation: Violation) -> str:
    """Kind, namespace and name of the object; `cluster` or `report` if the engine names none."""
    itself = unnamed_subject(violation)
    return "the cluster" if itself == "cluster" else _object(violation, itself)


def unnamed_subject(violation: Violation) -> str:
    """`cluster` or `report` if the engine names no object, so that the report itself is the subject; else empty."""
    subject = violation.subject
    if subject.group != ITSELF or subject.kind not in ("ClusterPolicyReport", "PolicyReport"):
        return ""
    if subject.namespace:  # whoever may write there speaks for that namespace alone
        return "report" if subject.kind == "PolicyReport" else ""
    return "cluster" if subject.kind == "ClusterPolicyReport" else "report"


def _summary(violation: Violation, cluster: str) -> str:
    itself = unnamed_subject(violation)
    where = f"Cluster {cluster}" if itself == "cluster" else f"{_object(violation, itself.title())} in {cluster}"
    by = ", ".join(non_blank(violation.source, *other_names(violation), *_report(violation)))
    if violation.source == TRIVY_VULNERABILITY and violation.result != "error":
        properties = dict(violation.properties)
        package = " ".join(non_blank(exact_name(violation), properties.get("installedVersion", "")))
        fixed = properties.get("fixedVersion", "").strip()
        return f"{where} has {package}{f', fixed in {fixed}' if fixed else ''} ({by})"
    if violation.source in KUBE_BENCH_SOURCES:
        number = index(violation)
        check = f"check {number}" if number else exact_name(violation)
        verb = "has to be looked at by hand for" if is_manual(violation) else _VERBS[violation.result]
        return f"{where} {verb} {check} ({by})"
    name = exact_name(violation)
    if violation.source == FALCO or (violation.result == "fail" and " " in name):
        return f"{where}: {name} ({by})"  # a title, not a name: it already says what is wrong
    return f"{where} {_VERBS[violation.result]} {name} ({by})"


def _audit_only_text(enforcement: str) -> str:
    """The sentence that admission does not deny such objects, if the enforcement says so."""
    actions = sorted(set(enforcement.split(", "))) if enforcement else []  # a status may hold one a hundred times
    if not actions or not _AUDIT_ONLY.keys() >= set(actions):
        return ""
    return f"Audit only, not enforced: {_AUDIT_ONLY['warn' if 'warn' in actions else 'dryrun']} ({', '.join(actions)})"


def _report(violation: Violation) -> list[str]:
    """The report's name, if only it distinguishes scans, for example of nodes."""
    return [f"report {violation.subject.name}"] if unnamed_subject(violation) == "cluster" else []


def _message(violation: Violation) -> str:
    """The messages, numbered if there are several. Trivy's message is that of the check; the results for this object
    are in the properties `0. message`, `1. message` and so on.
    """
    message, found = _listed_parts(violation.message), trivy_messages(violation)
    return _sentences(message, _numbered(found)) if found else message


@lru_cache(maxsize=1024)  # most messages are the same for all objects of a rule
def _listed_parts(message: str) -> str:
    return _numbered([text for part in clean_message(message).split(_LISTED) if (text := clean(part))])


def trivy_messages(violation: Violation) -> list[str]:
    """Trivy's messages about this object."""
    if not violation.source.startswith(TRIVY):
        return []
    return [value for key, value in violation.properties if key.endswith(". message")]


def _numbered(texts: list[str]) -> str:
    """As `(1) one. (2) another.` if there are several."""
    if len(texts) < 2:
        return "".join(texts)
    return _sentences(*(f"({number}) {clean_message(text)}" for number, text in enumerate(texts, 1)))


def _sentences(*texts: str) -> str:
    """Joins sentences; each gets a full stop."""
    sentences = [text for part in texts if (text := clean(part))]
    return " ".join(text if text.endswith(_ENDS) else f"{text}." for text in sentences)


def _cut_at_word(text: str, limit: int) -> str:
    """Cut between words, if at least half of it remains."""
    kept = cut(text, limit)
    at_word = kept == text or text.startswith(" ", len(kept) - len(ELLIPSIS))
    whole_words = kept.rpartition(" ")[0]
    return kept if at_word or length(whole_words) < limit // 2 else whole_words + ELLIPSIS


def _cut_middle(text: str, limit: int) -> str:
    """Cut in the middle: names of one application differ at their ends."""
    if length(text) <= limit or not text.isascii():
        return cut(text, limit)
    end = (limit - 1) // 3
    return text[: limit - 1 - end] + ELLIPSIS + text[-end:]


def _title_where(violation: Violation, cluster: str) -> tuple[str, str]:
    """The object, and the cluster as it follows."""
    itself = unnamed_subject(violation)
    return ("cluster", f" {cluster}") if itself == "cluster" else (_object(violation, itself), f" ({cluster})")


def _object(violation: Violation, kind: str) -> str:
    subject = target_of(violation.subject)
    name = "/".join(non_blank(subject.namespace, subject.name))
    return " ".join(non_blank(kind or subject.kind, name)) or "an unnamed object"
