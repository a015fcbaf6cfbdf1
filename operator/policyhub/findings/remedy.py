"""What to do about a violation, where its engine says it, and where to read on.

| from                                                            | becomes                              |
|-----------------------------------------------------------------|--------------------------------------|
| a property `…/remediation`                                      | the text; the link, where it is one  |
| `…/remediation-docs`, `…/remediation-url`                       | the link                             |
| `primaryLink`, `controlURL`, `…/url`, `…/link`,                 | the link, and SourceUrl              |
|   `…/documentation`, `…/docs`                                   |                                      |
| Trivy's `resource`, `installedVersion`, `fixedVersion`          | the text: which update ends it       |
| Trivy's check `KSV012` or `AVD-KSV-0012`                        | the link to its page                 |
| a policy or a category of the Pod Security Standards            | the link to them                     |

Nothing is said where nobody knows more than the message: a remediation that fits everything helps nobody. Pure.
"""

import re
from typing import Any

from policyhub.findings.limits import fit
from policyhub.findings.taxonomy import POD_SECURITY, VULNERABILITY
from policyhub.sources.policy import tail
from policyhub.sources.violation import Violation

POD_SECURITY_URL = "https://kubernetes.io/docs/concepts/security/pod-security-standards/"
CHECK_URL = "https://avd.aquasec.com/misconfig/ksv{number:03}"

_TEXT = 512
_NAME = 256
_URL = re.compile(r"https?://[\x21-\x7e]{1,1000}")
_CHECK = re.compile(r"(?:AVD-)?KSV-?0{0,8}(\d{1,4})")
_REMEDIES = ("remediation-docs", "remediation-url", "remediation")
_LINKS = ("primarylink", "controlurl", "url", "link", "documentation", "docs")
_BUNDLED = re.compile(r"remediation['\"\\]{0,8}\s{0,8}:\s{0,8}['\"\\]{1,8}([^'\"\\]{1,1024})")


def remediation(violation: Violation) -> dict[str, str]:
    """The member Recommendation; empty where there is nothing to say."""
    words = _words(violation)
    recommendation = {}
    text = fit(_text(violation, words), _TEXT)
    if text:
        recommendation["Text"] = text
    url = _first(words, _REMEDIES + _LINKS) or _known(violation, words)
    if url:
        recommendation["Url"] = url
    return recommendation


def source_url(violation: Violation) -> str:
    """The page that the engine itself names; empty where it names none."""
    return _first(_words(violation), _LINKS) if violation.properties else ""


def vulnerabilities(violation: Violation) -> list[dict[str, Any]]:
    """What a scanner found in a package; empty for every other source."""
    name = fit(violation.policy or violation.rule, _NAME)
    if violation.source != VULNERABILITY or name is None:
        return []
    words = _words(violation)
    package = {
        "Name": violation.discriminator,
        "Version": words.get("installedversion"),
        "FixedInVersion": words.get("fixedversion"),
    }
    found: dict[str, Any] = {"Id": name}
    described = {key: text for key, value in package.items() if (text := fit(value, _NAME))}
    if described:
        found["VulnerablePackages"] = [described]
        found["FixAvailable"] = "YES" if "FixedInVersion" in described else "NO"
    score = _score(words.get("score", ""))
    if score is not None:
        found["Cvss"] = [{"BaseScore": score}]
    link = _first(words, _LINKS)
    if link:
        found["ReferenceUrls"] = [link]
    return [found]


def _words(violation: Violation) -> dict[str, str]:
    """Properties by the last segment of their keys; the first in the keys' order counts."""
    words: dict[str, str] = {}
    for key, value in violation.properties:
        words.setdefault(tail(key), value)
    return words


def _text(violation: Violation, words: dict[str, str]) -> str:
    text = words.get("remediation", "").strip()
    if text and not _URL.fullmatch(text):
        return text
    if violation.source == VULNERABILITY and violation.discriminator and (fixed := words.get("fixedversion")):
        installed = words.get("installedversion")
        return f"Update {violation.discriminator}{f' from {installed}' if installed else ''} to {fixed}."
    bundled = _BUNDLED.search(words.get("constraintdata", ""))
    return bundled[1] if bundled else ""


def _first(words: dict[str, str], keys: tuple[str, ...]) -> str:
    return next((url for key in keys if (url := words.get(key, "").strip()) and _URL.fullmatch(url)), "")


def _known(violation: Violation, words: dict[str, str]) -> str:
    if violation.source.startswith("Trivy "):
        check = _CHECK.fullmatch(violation.rule) or _CHECK.fullmatch(words.get("id", ""))
        return CHECK_URL.format(number=int(check[1])) if check else ""
    if POD_SECURITY in violation.category or words.get("standard", "").lower() in ("baseline", "restricted"):
        return POD_SECURITY_URL
    return ""


def _score(text: str) -> float | None:
    try:
        score = float(text)
    except ValueError:
        return None
    return score if 0 <= score <= 10 else None
