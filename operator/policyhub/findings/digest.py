"""The digest of a finding: a hash of what a reader can act on. If the digest is unchanged, nothing is sent.

It covers result, severity, category, message, the result's properties, and the identity. The numbers of a notice
follow the hash (truncation.py). It does not cover times, report names and uids, the subject's API version (engines
differ in it), the versions of operator and renderer, and the cluster. If digests changed without a change of the
violations, every finding of every cluster would be imported again; a golden value in the tests prevents this. Pure: no
I/O, no clock.
"""

import hashlib

from policyhub.findings import truncation
from policyhub.findings.identity import encode
from policyhub.model.violation import Severity, Violation
from policyhub.sources.truncation import is_notice


def digest(violation: Violation, *, default_severity: Severity = "MEDIUM") -> str:
    """32 hex digits, followed by the numbers of a notice. A default severity counts as if the engine had stated it: it
    is what the reader sees.
    """
    parts = [
        *violation.identity.parts,
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
