"""Whether a result's policy or its rule is the number of the check or vulnerability; the other is its title.

| producer                                | policy                | rule                  |
|-----------------------------------------|-----------------------|-----------------------|
| Trivy ConfigAudit, RbacAssessment       | title                 | `KSV012`              |
| Trivy InfraAssessment (both kinds)      | `KCV0019`             | title                 |
| Trivy Compliance                        | `5.2.2 <control>`     | the check's title     |
| Trivy Vulnerability, Trivy's adapter    | `CVE-2099-0001`       | none                  |
| Trivy Vulnerability, from devopstales   | `Image Vulnerability` | `CVE-2099-0001`       |

So the text that looks like a number is used as the number. The adapters' commits: engines.py. Pure: no I/O, no clock.
"""

import re

from policyhub.model.engines import TRIVY_COMPLIANCE, TRIVY_VULNERABILITY
from policyhub.model.violation import Violation

_CHECK = re.compile(r"(?:AVD-)?[A-Z]{2,8}-?\d{3,6}")
_ADVISORY = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9]{1,15}-){1,3}(?:\d{4}[-:][\dA-Z:-]{1,24}|\d{2,8}(?:-\d{1,4})?)|GHSA(?:-[0-9a-z]{4}){3}"
)
"""CVE-2024-1, RHSA-2024:123, DLA-3482-1, USN-6000-2, TEMP-0290435-0B57B5, RUSTSEC-2023-1, GHSA-…"""
_TEMPORARY = re.compile(r"TEMP-\d{1,10}-[0-9A-F]{1,10}")


def number(violation: Violation) -> str:
    """What identifies the check or vulnerability. For Trivy sources only."""
    policy, rule = violation.policy, violation.rule
    if violation.source == TRIVY_VULNERABILITY:
        return rule if _is_advisory(rule) and not _is_advisory(policy) else policy or rule
    return policy if _CHECK.fullmatch(policy) and not _CHECK.fullmatch(rule) else rule or policy


def title(violation: Violation) -> str:
    """The title for people. For Trivy sources only."""
    policy, rule = violation.policy, violation.rule
    if violation.source == TRIVY_COMPLIANCE:  # the control is the requirement
        return policy or rule
    return policy if number(violation) == rule else rule or policy


def _is_advisory(text: str) -> bool:
    return _ADVISORY.fullmatch(text) is not None or _TEMPORARY.fullmatch(text) is not None
