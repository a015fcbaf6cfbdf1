"""Which findings go together in one call of BatchImportFindings.

Limits (API reference and user guide of Security Hub; whether KB is 1000 or 1024 is not said, so 1000):

| what | limit | measured as |
|---|---|---|
| findings in a call | 100 | |
| one finding | 240 KB | compact UTF-8 JSON: the content, however it is encoded on the way |
| one call | 6 MB | the body as botocore writes it, ASCII with escapes, envelope included |

The two measures lean to opposite sides on purpose: a finding that may pass is sent (a refusal of it alone costs
nothing), a call that may not pass is not made. Invariants: ids are unique in a batch, because failures name only the
id; order is kept; each finding is in exactly one batch or refused. Pure: no I/O, no clock.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from policyhub.hub.errors import Failure

Finding = Mapping[str, Any]
"""An ASFF finding as a dict."""

MAX_FINDINGS = 100
MAX_CALL_BYTES = 6_000_000
MAX_FINDING_BYTES = 240_000

_ENVELOPE = len('{"Findings": []}')
_SEPARATOR = len(", ")
_ESCAPED = 6
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Split:
    batches: tuple[tuple[Finding, ...], ...]
    refused: Mapping[str, Failure]
    """By id: what must never be sent."""


@dataclass(slots=True)
class Batch:
    """One call being filled. `offer` says whether the finding still goes in; when not, this batch is full."""

    findings: list[Finding] = field(default_factory=list)
    _ids: set[str] = field(default_factory=set)
    _bytes: int = _ENVELOPE
    """Of the call's body so far: a bound, until that says too many."""
    _measured: bool = False

    @property
    def size(self) -> int:
        """Bytes of the call's body so far."""
        return _ENVELOPE + sum(map(wire_size, self.findings)) + _SEPARATOR * max(0, len(self.findings) - 1)

    def offer(self, finding: Finding) -> bool:
        """Take the finding if the call stays within every limit with it."""
        if len(self.findings) == MAX_FINDINGS or finding["Id"] in self._ids:
            return False
        size = self._bytes + (_SEPARATOR if self.findings else 0)
        size += wire_size(finding) if self._measured else bound(finding)
        if size > MAX_CALL_BYTES and not self._measured:
            self._measured, self._bytes = True, self.size
            size = self._bytes + (_SEPARATOR if self.findings else 0) + wire_size(finding)
        if size > MAX_CALL_BYTES:
            return False
        self.findings.append(finding)
        self._ids.add(finding["Id"])
        self._bytes = size
        return True


def split(findings: Iterable[Finding]) -> Split:
    """As few batches as order and limits allow."""
    batches: list[Batch] = []
    refused: dict[str, Failure] = {}
    for finding in findings:
        if failure := oversize(finding):
            refused[finding["Id"]] = failure
        elif not batches or not batches[-1].offer(finding):
            batches.append(Batch())
            batches[-1].offer(finding)
    return Split(tuple(tuple(batch.findings) for batch in batches), refused)


def oversize(finding: Finding) -> Failure | None:
    """The failure of a finding that is too large to send, None for any other."""
    size = len(_encoder.encode(finding))
    if size <= MAX_FINDING_BYTES:
        return None
    message = f"the finding has {size} bytes as JSON, Security Hub takes at most {MAX_FINDING_BYTES}; it was not sent"
    return Failure(code="FindingSizeExceeded", message=message, kind="permanent")


def bound(finding: Finding) -> int:
    """What `wire_size` cannot be more than: it takes as long to measure as to write, and hardly ever decides.

    Escapes make six bytes of one at most (DEL; two or three of UTF-8 make six too), blanks two of a comma or colon.
    """
    return _ESCAPED * len(_encoder.encode(finding))


def wire_size(finding: Finding) -> int:
    """Bytes of the finding in a request's body: botocore writes plain `json.dumps`, so ASCII with escapes."""
    return len(json.dumps(finding))
