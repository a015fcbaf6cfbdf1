"""Names of a violation: the exact names for the description and for searches, and the sentence for the title.

| source              | exact name                        | other names           | sentence                           |
|---------------------|-----------------------------------|-----------------------|------------------------------------|
| Trivy Vulnerability | `CVE-… in <package>`              |                       | the same                           |
| other Trivy …       | the check's title                 | `rule <number>`       | the same (sources/check.py)        |
| Kube Bench          | the check's number and text       | its section, group    | the same                           |
| Falco               | the rule; the policy only names   | the policy            | the same                           |
|                     | the origin of the event           |                       |                                    |
| kubescape           | the control's number and name     |                       | the same                           |
| gatekeeper          | the template's kind               | `constraint <name>`   | the template's title, else the kind|
|                     |                                   |                       | in words; then the constraint      |
| every other         | the policy, else the rule         | `rule <name>`         | the policy's title, else its       |
|                     |                                   |                       | name in words; then the rule, else |
|                     |                                   |                       | the discriminator                  |

Nothing is named twice: the rule or constraint is added only if it adds information, so `privileged-containers` is
omitted after `Disallow Privileged Containers`. Names in words: `require-run-as-nonroot` becomes `Require run as
nonroot`, `K8sPSPPrivilegedContainer` becomes `Privileged container`. Pure: no I/O, no clock.
"""

import re
from functools import lru_cache

from policyhub.findings.limits import fit
from policyhub.model.engines import (
    FALCO,
    GATEKEEPER,
    KUBE_BENCH_SOURCES,
    KUBESCAPE,
    KUBEWARDEN,
    TRIVY,
    TRIVY_VULNERABILITY,
)
from policyhub.model.violation import Violation
from policyhub.sources import check
from policyhub.sources.policy import TITLE as POLICY_TITLE

LIMIT = 256
# Benchmarks append to each check how it is assessed.
_ASSESSMENT_SUFFIXES = ("(Automated)", "(Manual)", "(Scored)", "(Not Scored)")
_AUTOGEN = ("autogen-cronjob-", "autogen-")
_SLUG = re.compile(r"\A[a-z0-9]+(?:[-_][a-zA-Z0-9]+)+\Z")
_KIND = re.compile(r"[A-Z][A-Za-z0-9]*")
_LIBRARY = ("K8sPSP", "K8s")
"""Prefixes of template kinds in Gatekeeper's library."""
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_LETTERS = re.compile(r"[^a-z0-9]+")
_FILLER_WORDS = frozenset(
    {
        *("", "a", "an", "and", "check", "disallow", "for", "is", "must", "of", "psp", "require", "restrict", "rule"),
        *("the", "validate", "validation"),
    }
)
"""Words of a rule's name that do not say what it requires."""


def non_blank(*parts: str) -> list[str]:
    return [part for part in parts if part and not part.isspace()]


def policy_property(violation: Violation, key: str) -> str:
    return next((value for name, value in violation.properties if name == key), "")


def sentence(violation: Violation) -> tuple[str, str]:
    """The sentence, and what distinguishes the violation from others of the same policy; the latter may be empty."""
    policy, rule = violation.policy, violation.rule
    titled = fit(policy_property(violation, POLICY_TITLE), LIMIT)
    if violation.source in _EXACT_NAMES_ONLY or violation.source.startswith(TRIVY):
        return titled or exact_name(violation), ""
    name = policy or rule
    if violation.source == KUBEWARDEN:
        name = name.removeprefix("clusterwide-").removeprefix(f"namespaced-{violation.subject.namespace}-")
    phrase = titled or humanized(name) or exact_name(violation)
    detail = humanized(_plain(rule)) if policy and rule and _adds_information(rule, phrase, policy) else ""
    if not detail:
        return phrase, fit(violation.discriminator, LIMIT) or ""
    return phrase, detail[:1].lower() + detail[1:] if detail[1:2].islower() else detail


def exact_name(violation: Violation) -> str:
    """The exact name; see the table above."""
    policy, rule, discriminator = violation.policy, violation.rule, violation.discriminator
    if violation.source == TRIVY_VULNERABILITY and discriminator:
        policy = f"{check.number(violation)} in {discriminator}"
    elif violation.source in KUBE_BENCH_SOURCES and (number := index(violation)):
        policy = f"{number} {_check(violation.message) or policy}"
    elif violation.source.startswith(TRIVY):
        policy = check.title(violation)
    elif violation.source == FALCO:
        policy = rule or policy
    elif violation.source == KUBESCAPE:
        policy = " ".join(non_blank(policy, rule))
    return fit(policy, LIMIT) or fit(rule, LIMIT) or fit(violation.source, LIMIT) or "policyhub"


def other_names(violation: Violation) -> list[str]:
    """Other names, for searches; see the table above."""
    policy, rule = violation.policy, violation.rule
    if violation.source == GATEKEEPER:
        return [f"constraint {rule}"] if rule and policy else []
    if violation.source == FALCO:
        return non_blank(policy) if rule else []
    if violation.source == KUBESCAPE:
        return []
    if violation.source in KUBE_BENCH_SOURCES and index(violation):
        group = rule if violation.discriminator and rule != policy else ""  # else it is the check's text
        return non_blank(policy, group)
    if violation.source.startswith(TRIVY) and policy and rule and rule != policy:
        number = check.number(violation)
        return [] if violation.source == TRIVY_VULNERABILITY and number == rule else [f"rule {number}"]
    return [f"rule {rule}"] if rule and policy and rule != policy else []


@lru_cache(maxsize=4096)  # of a cluster's policies
def humanized(name: str) -> str:
    """A slug or a kind as words; any other text unchanged."""
    name = fit(name.rpartition("/")[2], LIMIT) or ""
    if _SLUG.match(name):
        parts = name.replace("_", "-").split("-")
    elif _KIND.fullmatch(name) and not name.isupper() and not name[-1].isdigit():
        library = next((prefix for prefix in _LIBRARY if name.startswith(prefix) and name != prefix), "")
        found = _WORD.findall(name.removeprefix(library))
        parts = [word if len(word) > 1 and word.isupper() else word.lower() for word in found]
    else:
        return name
    return parts[0][:1].upper() + " ".join(parts)[1:]


def index(violation: Violation) -> str:
    """The number of a check in its benchmark."""
    return violation.discriminator or policy_property(violation, "index")


def _plain(rule: str) -> str:
    return next((rule.removeprefix(prefix) for prefix in _AUTOGEN if rule.startswith(prefix)), rule)


@lru_cache(maxsize=4096)
def _adds_information(rule: str, phrase: str, policy: str) -> bool:
    """Whether the rule's name has a word that neither the sentence nor the policy's name has."""
    known = _LETTERS.sub("", f"{phrase}{policy}".lower())
    parts = _LETTERS.split(_plain(rule).lower())
    if _LETTERS.sub("", _plain(rule).lower()) in known:
        return False
    return any(word not in _FILLER_WORDS and word not in known and word.rstrip("s") not in known for word in parts)


def _check(message: str) -> str:
    """The text of a benchmark's check, without the assessment suffix."""
    text = message.strip()
    return next((text.removesuffix(how).rstrip() for how in _ASSESSMENT_SUFFIXES if text.endswith(how)), text)


_EXACT_NAMES_ONLY = KUBE_BENCH_SOURCES | {TRIVY_VULNERABILITY, FALCO, KUBESCAPE}
