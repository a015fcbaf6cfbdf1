"""The remediation of a finding: what to do, and links. It must be enough to start with.

The text (512 characters) contains only known facts, in this order; if it is too long, the first part is cut:

| part                                         | from                                                                 |
|----------------------------------------------|----------------------------------------------------------------------|
| how to fix it                                | a property `…/remediation`, Google's bundles; Trivy's `fixedVersion` |
| else which field of which object to change   | the path, container or volume that the message names                 |
| where the rule is defined                    | the policy object (model/policy_apis.py), as a `kubectl get`       |
| how to accept it                             | the engine's exceptions; else the workflow status                    |
| that it is archived automatically            |                                                                      |

| link                                                            | from                                              |
|-----------------------------------------------------------------|---------------------------------------------------|
| the remediation's own                                           | `…/remediation-docs`, `…/remediation-url`, and    |
|                                                                 | `…/remediation` where that is a link              |
| the page of the check, also SourceUrl                           | `primaryLink`, `controlURL`, `…/url`, `…/link`,   |
|                                                                 | `…/documentation`, `…/docs`                       |
| the page of Trivy's check                                       | `KSV012` or `AVD-KSV-0012`                        |
| Kubernetes' page on the Pod Security Standards                  | a policy or a category of them                    |

Pure: no I/O, no clock.
"""

import re
import shlex
from functools import lru_cache
from typing import Any

from policyhub.findings.compliance import POD_SECURITY
from policyhub.findings.limits import clean, cut, fit, length
from policyhub.findings.text import object_text, trivy_messages
from policyhub.model.engines import ENGINES, TRIVY, TRIVY_VULNERABILITY
from policyhub.model.policy_apis import object_of
from policyhub.model.violation import Violation
from policyhub.sources.check import number
from policyhub.sources.event_logs import BY_NAME, is_event_log
from policyhub.sources.filter import namespace_of
from policyhub.sources.policy import tail
from policyhub.sources.risk import is_manual

POD_SECURITY_URL = "https://kubernetes.io/docs/concepts/security/pod-security-standards/"
CHECK_URL = "https://avd.aquasec.com/misconfig/{check}"
_NEW, _NEWEST = 100, 1000
"""From these numbers on, links contain `KSV-0109` or `AVD-KSV-01010` as written."""

_TEXT = 512
_MIN_STATED = 120
"""Minimum for the first part, before the command is omitted."""
_OBJECT = 128
"""Maximum for an object or a cluster; the title names them, too."""
_MAX_FIELDS = 4
"""Maximum number of fields, and of containers and volumes."""
_SELF_CLOSING = "Once it passes, this finding archives itself."
_EVENT_ENDING = "It tells of an event, which nothing ends: set the workflow status RESOLVED once it is dealt with."
_EXCEPTIONS = {engine.name: engine.exception for engine in ENGINES if engine.exception}
"""How to exempt an object, by engine."""
_NAME = 256
# The place in the object: Kyverno's path; a field as in messages of Pod Security Standards and others.
_PATH = re.compile(r"failed at path (/[\w./~*-]{1,256}?)/?(?=[\s,;)]|\.?$|\.\s)")
_DIGITS = re.compile(r"\.(\d{1,4})(?=\.|$)")
_FIELD = re.compile(r"\bspec(?:\.[A-Za-z]\w{0,63}(?:\[[\w*]{1,8}\])?){1,12}")
_PARTS = re.compile(r"""\b([Cc]ontainer|[Vv]olume)s? ["']([\w.-]{1,63})["']""")
_CONTAINER = re.compile(r"\b[Cc]ontainer <([\w.-]{1,63})>|\bcontainer is not allowed: ([\w-]{1,63})(?=,|\.?$)")
_URL = re.compile(r"https?://[\x21-\x7e]{1,1000}")
_CHECK = re.compile(r"(?:AVD-)?KSV-?0{0,8}(\d{1,4})")
_REMEDY_URLS = ("remediation-docs", "remediation-url", "remediation")
_LINKS = ("primarylink", "controlurl", "url", "link", "documentation", "docs")
_BUNDLED = re.compile(r"remediation['\"\\]{0,8}\s{0,8}:\s{0,8}['\"\\]{1,8}([^'\"\\]{1,1024})")


def remediation(violation: Violation, *, cluster: str = "") -> dict[str, str]:
    """The member Recommendation."""
    properties = _by_last_segment(violation)
    recommendation = {"Text": _full_text(violation, _text(violation, properties), cluster=cluster)}
    url = _first_url(properties, _REMEDY_URLS + _LINKS) or _known_page(violation, properties)
    if url:
        recommendation["Url"] = url
    return recommendation


def _full_text(violation: Violation, stated: str, *, cluster: str) -> str:
    """The fix comes first and is cut if necessary; the next steps follow."""
    rest = _follow_up(
        violation.source, violation.policy, violation.rule, namespace=namespace_of(violation.subject), cluster=cluster
    )
    first = clean(stated) or clean(_change_text(violation)) or "-"
    kept = cut(first if first.endswith((".", "!", "?", "…")) else f"{first}.", _TEXT - 1 - length(rest))
    return f"{kept} {rest}"


@lru_cache(maxsize=4096)  # all findings of a policy in a namespace have the same
def _follow_up(source: str, policy: str, rule: str, *, namespace: str, cluster: str) -> str:
    """Where the rule is defined, how to accept the violation, and how the finding ends; the last two always."""
    exception = _EXCEPTIONS.get(source)
    accept = f"To accept it, {f'{exception}, or ' if exception else ''}set the workflow status SUPPRESSED with a note."
    rest = f"{accept} {_EVENT_ENDING if _is_event(source) else _SELF_CLOSING}"
    command = _command(source, policy, rule, namespace=namespace)
    where = f" in {cut(cluster, _OBJECT)}" if cluster else ""
    read = f"Read the rule{where} with `{command}`. " if command else ""
    return read + rest if length(read + rest) <= _TEXT - _MIN_STATED else rest


def _change_text(violation: Violation) -> str:
    """What to change: the field and the object, if the message names them."""
    of = cut(object_text(violation), _OBJECT)
    if _is_event(violation.source):
        return f"Look into what happened on {of}."
    if violation.result == "error":
        return f"Find out why the policy could not be evaluated for {of}; the object may be in order."
    if violation.source == TRIVY_VULNERABILITY:
        return f"No version of {violation.discriminator or 'the package'} is known to mend it. Look at {of}."
    if is_manual(violation):
        return f"Look at it by hand on {of}."
    listed = _mentioned_parts(" ".join((violation.message, *trivy_messages(violation))))
    whose = of if violation.own else f"the Pods of {of}"
    return f"Change {listed} of {whose}." if listed else f"Change {of} so that it meets the rule."


@lru_cache(maxsize=1024)  # most messages are the same for all objects of a rule
def _mentioned_parts(message: str) -> str:
    """Fields as `kubectl explain` names them (`spec.containers[0].image`), containers and volumes."""
    paths = [
        path if "." in path else _DIGITS.sub(r"[\1]", path.strip("/").replace("/", "."))  # a label's key has dots
        for path in _PATH.findall(message)
    ]
    parts = [f'{what.lower()} "{name}"' for what, name in _PARTS.findall(message)]
    parts += [f'container "{one or other}"' for one, other in _CONTAINER.findall(message)]
    fields = list(dict.fromkeys(paths or _FIELD.findall(message)))  # where it is, else which fields there are
    return ", ".join([*fields[:_MAX_FIELDS], *list(dict.fromkeys(parts))[:_MAX_FIELDS]])


def _is_event(source: str) -> bool:
    return source in BY_NAME or is_event_log(source)


def _command(source: str, policy: str, rule: str, *, namespace: str) -> str:
    """The command that shows the policy, quoted for a shell; empty if the policy object is not known."""
    found = object_of(source, policy, rule, namespace=namespace)
    if found is None:
        return ""
    arguments = ["kubectl", "get", found.source_api, found.name]
    arguments += ["-n", found.namespace] if found.namespace else []
    return shlex.join([*arguments, "-o", "yaml"])


def source_url(violation: Violation) -> str:
    """The link that the engine states; empty if it states none."""
    return _first_url(_by_last_segment(violation), _LINKS) if violation.properties else ""


def vulnerabilities(violation: Violation) -> list[dict[str, Any]]:
    """The member Vulnerabilities: a scanner's result for a package; empty for other sources."""
    name = fit(number(violation), _NAME)
    if violation.source != TRIVY_VULNERABILITY or violation.result == "error" or name is None:
        return []
    properties = _by_last_segment(violation)
    package = {
        "Name": violation.discriminator,
        "Version": properties.get("installedversion"),
        "FixedInVersion": properties.get("fixedversion"),
    }
    found: dict[str, Any] = {"Id": name}
    described = {key: text for key, value in package.items() if (text := fit(value, _NAME))}
    if described:
        found["VulnerablePackages"] = [described]
        found["FixAvailable"] = "YES" if "FixedInVersion" in described else "NO"
    score = _score(properties.get("score", ""))
    if score is not None:
        found["Cvss"] = [{"BaseScore": score}]
    link = _first_url(properties, _LINKS)
    if link:
        found["ReferenceUrls"] = [link]
    return [found]


def _by_last_segment(violation: Violation) -> dict[str, str]:
    """Properties by the last segment of their keys; the first one in the order of the keys counts."""
    properties: dict[str, str] = {}
    for key, value in violation.properties:
        properties.setdefault(tail(key), value)
    return properties


def _text(violation: Violation, properties: dict[str, str]) -> str:
    text = properties.get("remediation", "").strip()
    if text and not _URL.fullmatch(text):
        return text
    if (
        violation.source == TRIVY_VULNERABILITY
        and violation.discriminator
        and (fixed := properties.get("fixedversion"))
    ):
        installed = properties.get("installedversion")
        return f"Update {violation.discriminator}{f' from {installed}' if installed else ''} to {fixed}."
    bundled = _BUNDLED.search(properties.get("constraintdata", ""))
    return bundled[1] if bundled else ""


def _first_url(properties: dict[str, str], keys: tuple[str, ...]) -> str:
    return next((url for key in keys if (url := properties.get(key, "").strip()) and _URL.fullmatch(url)), "")


def _known_page(violation: Violation, properties: dict[str, str]) -> str:
    if violation.source.startswith(TRIVY):
        check = _CHECK.fullmatch(number(violation)) or _CHECK.fullmatch(properties.get("id", ""))
        return _page(check[0], int(check[1])) if check else ""
    if POD_SECURITY in violation.category or properties.get("standard", "").lower() in ("baseline", "restricted"):
        return POD_SECURITY_URL
    return ""


def _page(check: str, number: int) -> str:
    """The link by the check's number, however it is written; for the newest checks as Trivy links them."""
    as_written = number >= _NEWEST if check.startswith("AVD-") else number >= _NEW and "-" in check
    return CHECK_URL.format(check=check.lower() if as_written else f"ksv{number:03}")


def _score(text: str) -> float | None:
    try:
        score = float(text)
    except ValueError:
        return None
    return score if 0 <= score <= 10 else None
