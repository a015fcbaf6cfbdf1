"""What a violation is called: the exact names that a description and a search need, and the sentence for a title.

| source              | the exact name                    | behind it             | the sentence                       |
|---------------------|-----------------------------------|-----------------------|------------------------------------|
| Trivy Vulnerability | `CVE-… in <package>`              |                       | the same                           |
| other Trivy …       | the check's title                 | `rule <number>`       | the same (sources/check.py)        |
| Kube Bench          | the check's number and text       | its section, group    | the same                           |
| Falco               | the rule; its policy only says    | the policy            | the same                           |
|                     | whose event it was                |                       |                                    |
| kubescape           | the control's number and name     |                       | the same                           |
| gatekeeper          | the template's kind               | `constraint <name>`   | the template's title, else the kind|
|                     |                                   |                       | in words; then the constraint      |
| every other         | the policy, else the rule         | `rule <name>`         | the policy's title, else its       |
|                     |                                   |                       | name in words; then the rule, else |
|                     |                                   |                       | the discriminator                  |

Nothing is named twice: a rule or constraint stands in a sentence as far as it says more than what is there, so
`privileged-containers` is left out behind `Disallow Privileged Containers`. A name in words: `require-run-as-nonroot`
is `Require run as nonroot`, `K8sPSPPrivilegedContainer` is `Privileged container`. Pure: no I/O, no clock.
"""

import re
from functools import lru_cache

from policyhub.findings.compliance import KUBE_BENCH, KUBESCAPE, VULNERABILITY
from policyhub.findings.limits import fit
from policyhub.sources import check
from policyhub.sources.engines import GATEKEEPER
from policyhub.sources.policy import TITLE as POLICY_TITLE
from policyhub.sources.violation import Violation

LIMIT = 256
# Benchmarks say of each check how it is looked at.
_LOOKED_AT = ("(Automated)", "(Manual)", "(Scored)", "(Not Scored)")
_AUTOGEN = ("autogen-cronjob-", "autogen-")
_SLUG = re.compile(r"\A[a-z0-9]+(?:[-_][a-zA-Z0-9]+)+\Z")
_KIND = re.compile(r"[A-Z][A-Za-z0-9]*")
_LIBRARY = ("K8sPSP", "K8s")
"""What Gatekeeper's library puts before the kinds of its templates."""
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_LETTERS = re.compile(r"[^a-z0-9]+")
_SAYS_NOTHING = frozenset(
    {
        *("", "a", "an", "and", "check", "disallow", "for", "is", "must", "of", "psp", "require", "restrict", "rule"),
        *("the", "validate", "validation"),
    }
)
"""Words of a rule's name that tell nothing of what it asks for."""


def filled(*parts: str) -> list[str]:
    return [part for part in parts if part and not part.isspace()]


def of_policy(violation: Violation, key: str) -> str:
    return next((value for name, value in violation.properties if name == key), "")


def sentence(violation: Violation) -> tuple[str, str]:
    """What is wrong, and what tells it from others of the same policy; the second may be empty."""
    policy, rule = violation.policy, violation.rule
    titled = fit(of_policy(violation, POLICY_TITLE), LIMIT)
    if violation.source in _CALLED_OTHERWISE or violation.source.startswith("Trivy "):
        return titled or what(violation), ""
    name = policy or rule
    if violation.source == "kubewarden":
        name = name.removeprefix("clusterwide-").removeprefix(f"namespaced-{violation.subject.namespace}-")
    said = titled or in_words(name) or what(violation)
    more = in_words(_plain(rule)) if policy and rule and _tells_more(rule, said, policy) else ""
    if not more:
        return said, fit(violation.discriminator, LIMIT) or ""
    return said, more[:1].lower() + more[1:] if more[1:2].islower() else more


def what(violation: Violation) -> str:
    """By its exact name."""
    policy, rule, discriminator = violation.policy, violation.rule, violation.discriminator
    if violation.source == VULNERABILITY and discriminator:
        policy = f"{check.number(violation)} in {discriminator}"
    elif violation.source in KUBE_BENCH and (number := index(violation)):
        policy = f"{number} {_check(violation.message) or policy}"
    elif violation.source.startswith("Trivy "):
        policy = check.title(violation)
    elif violation.source == "Falco":
        policy = rule or policy
    elif violation.source == KUBESCAPE:
        policy = " ".join(filled(policy, rule))
    return fit(policy, LIMIT) or fit(rule, LIMIT) or fit(violation.source, LIMIT) or "policyhub"


def behind(violation: Violation) -> list[str]:
    """The other names, for whoever searches."""
    policy, rule = violation.policy, violation.rule
    if violation.source == GATEKEEPER:
        return [f"constraint {rule}"] if rule and policy else []
    if violation.source == "Falco":
        return filled(policy) if rule else []
    if violation.source == KUBESCAPE:
        return []
    if violation.source in KUBE_BENCH and index(violation):
        group = rule if violation.discriminator and rule != policy else ""  # else it is the check's text
        return filled(policy, group)
    if violation.source.startswith("Trivy ") and policy and rule and rule != policy:
        number = check.number(violation)
        return [] if violation.source == VULNERABILITY and number == rule else [f"rule {number}"]
    return [f"rule {rule}"] if rule and policy and rule != policy else []


@lru_cache(maxsize=4096)  # of a cluster's policies
def in_words(name: str) -> str:
    """A slug or a kind as words; any other text as it is."""
    name = fit(name.rpartition("/")[2], LIMIT) or ""
    if _SLUG.match(name):
        words = name.replace("_", "-").split("-")
    elif _KIND.fullmatch(name) and not name.isupper() and not name[-1].isdigit():
        library = next((prefix for prefix in _LIBRARY if name.startswith(prefix) and name != prefix), "")
        found = _WORD.findall(name.removeprefix(library))
        words = [word if len(word) > 1 and word.isupper() else word.lower() for word in found]
    else:
        return name
    return words[0][:1].upper() + " ".join(words)[1:]


def index(violation: Violation) -> str:
    """The number of a benchmark's check."""
    return violation.discriminator or of_policy(violation, "index")


def _plain(rule: str) -> str:
    return next((rule.removeprefix(prefix) for prefix in _AUTOGEN if rule.startswith(prefix)), rule)


@lru_cache(maxsize=4096)
def _tells_more(rule: str, said: str, policy: str) -> bool:
    """Whether the rule's name has a word that neither the sentence nor the policy's name has."""
    known = _LETTERS.sub("", f"{said}{policy}".lower())
    words = _LETTERS.split(_plain(rule).lower())
    if _LETTERS.sub("", _plain(rule).lower()) in known:
        return False
    return any(word not in _SAYS_NOTHING and word not in known and word.rstrip("s") not in known for word in words)


def _check(message: str) -> str:
    """The text of a benchmark's check, without how it is looked at."""
    said = message.strip()
    return next((said.removesuffix(how).rstrip() for how in _LOOKED_AT if said.endswith(how)), said)


_CALLED_OTHERWISE = KUBE_BENCH | {VULNERABILITY, "Falco", KUBESCAPE}
