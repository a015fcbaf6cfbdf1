"""The digest of a finding: a hash of what a reader can act on. An equal digest means that there is nothing to send.

In it: result, severity, category, message, the result's properties, and the identity; of a notice its numbers only
beside the hash (truncation.py). Not in it: times, report names
and uids, the subject's API version (engines differ on it), the operator's and the renderer's version, the cluster.
A digest that changes without the violation having changed would import every finding of every cluster again: a golden
value in the tests guards it. Pure: no I/O, no clock.
"""

import hashlib

from policyhub.findings import truncation
from policyhub.findings.identity import encode
from policyhub.sources.truncation import is_notice
from policyhub.sources.violation import Severity, Violation


def digest(violation: Violation, *, default_severity: Severity = "MEDIUM") -> str:
    """32 hex digits, and the numbers behind them where a notice tells some. A severity that nobody stated counts as if
    the engine had: it is what the reader sees.
    """
    parts = [
        *violation.identity,
        violation.result,
        violation.label(default_severity),
        violation.category,
        violation.message,
    ]
    if is_notice(violation):
        return truncation.digest_of(_hash(parts), violation)
    for key, value in violation.properties:
        parts += (key, value)
    return _hash(parts)


def _hash(parts: list[str]) -> str:
    return hashlib.blake2b(encode(parts), digest_size=16).hexdigest()
