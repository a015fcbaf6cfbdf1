"""Splits findings into calls of BatchImportFindings.

Limits (API reference and user guide of Security Hub; they do not say whether KB is 1000 or 1024, so 1000):

| what | limit | measured as |
|---|---|---|
| findings in a call | 100 | |
| one finding | 240 KB | its bytes in the body (body.py) |
| one call | 6 MB | the bytes of the body |

Invariants: ids are unique in a batch, because failures name only the id; order is kept; each finding is in exactly one
batch or refused. Pure: no I/O, no clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from policyhub.securityhub.body import encode
from policyhub.securityhub.errors import Failure

Finding = Mapping[str, Any]
"""An ASFF finding as a dict."""

MAX_FINDINGS = 100
MAX_CALL_BYTES = 6_000_000
MAX_FINDING_BYTES = 240_000

_ENVELOPE = len('{"Findings":[]}')
_SEPARATOR = len(",")


@dataclass(frozen=True, slots=True)
class Split:
    batches: tuple[tuple[Finding, ...], ...]
    refused: Mapping[str, Failure]
    """By id: findings that must never be sent."""


@dataclass(slots=True)
class Batch:
    """One call being filled. If `offer` returns False, this batch is full."""

    findings: list[Finding] = field(default_factory=list)
    size: int = _ENVELOPE
    """Bytes of the call's body so far."""
    _ids: set[str] = field(default_factory=set)

    def offer(self, finding: Finding, size: int) -> bool:
        """Add a finding of this size, if the call then stays within every limit; returns whether it was added."""
        if len(self.findings) == MAX_FINDINGS or finding["Id"] in self._ids:
            return False
        size += self.size + (_SEPARATOR if self.findings else 0)
        if size > MAX_CALL_BYTES:
            return False
        self.findings.append(finding)
        self._ids.add(finding["Id"])
        self.size = size
        return True


def split(findings: Iterable[Finding], *, sizes: Iterable[int] | None = None) -> Split:
    """As few batches as order and limits allow. `sizes` are the results of `measure`; None: not measured yet."""
    batches: list[Batch] = []
    refused: dict[str, Failure] = {}
    measured = zip(findings, sizes, strict=True) if sizes is not None else ((f, measure(f)) for f in findings)
    for finding, size in measured:
        if failure := oversize(size):
            refused[finding["Id"]] = failure
        elif not batches or not batches[-1].offer(finding, size):
            batches.append(Batch())
            batches[-1].offer(finding, size)
    return Split(tuple(tuple(batch.findings) for batch in batches), refused)


def measure(finding: Finding) -> int:
    """Bytes of the finding in a call's body. This takes as long as encoding it: call it once."""
    return len(encode(finding))


def oversize(size: int) -> Failure | None:
    """The failure of a finding that is too large to send, None for all others."""
    if size <= MAX_FINDING_BYTES:
        return None
    message = f"the finding has {size} bytes as JSON, Security Hub takes at most {MAX_FINDING_BYTES}; it was not sent"
    return Failure(code="FindingSizeExceeded", message=message, kind="permanent")
