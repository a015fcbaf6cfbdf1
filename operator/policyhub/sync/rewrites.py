"""Recognises reports that were rewritten without a change, so that they need not be read again.

Engines rewrite each report at each scan, with new times. From such a rewrite only the times are learned. A report is
recognised by its fingerprint (`sources.fingerprint`). The fingerprint includes the other inputs of a reading: the
versions of the policies' texts (`PolicyMetadata`) and of what the namespace has taught (`Reported`).

| a report                                                         | then it is                                        |
|------------------------------------------------------------------|---------------------------------------------------|
| could not be read completely: problems, limits, a truncated list | not remembered                                    |
| contains a log of events, or results that could not be evaluated | not remembered                                    |
| has more policies than are counted                               | not remembered                                    |
| has become incomplete since, or may end a notice                 | read again (`Sources.needs_no_reread`)            |
| is in a namespace where a lost finding waits for a report        | read again                                        |
| has results that roll up to other objects now                    | read again (`Rollup.needs_no_reread`)             |

Pure: no I/O, no clock.
"""

from collections.abc import KeysView
from typing import Final

from policyhub.model.violation import ParsedReport, SourceKey
from policyhub.sources.coverage import POLICIES
from policyhub.sources.event_logs import event_log_sources
from policyhub.sources.fingerprint import BITS, Decoded
from policyhub.sync.ledger import Ledger
from policyhub.sync.policy_metadata import PolicyMetadata
from policyhub.sync.rollup import Rollup

MAX_REMEMBERED: Final = 200_000
"""Reports that are remembered at most, at some 90 bytes each; all others are read each time."""
MAX_PASSING: Final = 20_000
"""A report without claims is remembered only below this number of reports: it takes 250 bytes, since nothing else is
kept of it, and it is read in half the time."""

Newest = tuple[tuple[str, int], ...]


class Rewrites:
    """The fingerprints of one source API."""

    def __init__(self, *, ledger: Ledger, rollup: Rollup | None, policies: PolicyMetadata | None) -> None:
        self._ledger = ledger
        self._rollup = rollup
        self._policies = policies
        self._read: dict[SourceKey, int] = {}

    def newest(self, decoded: Decoded, fingerprint: int | None, *, latest: int) -> Newest | None:
        """The newest times of a rewrite without a change. None: the report must be read, and is forgotten till then."""
        key = decoded.key
        known = self._read.get(key)
        if known is None:
            return None
        if (
            fingerprint is not None
            and known == self._with_known(fingerprint, key)
            and self._ledger.sources.needs_no_reread(key)
            and (self._rollup is None or self._rollup.needs_no_reread(key))
        ):
            return decoded.newest_by(latest=latest)
        del self._read[key]
        return None

    def remember(self, parsed: ParsedReport, fingerprint: int | None) -> None:
        """The report was read into the ledger."""
        key = parsed.key
        complete = parsed.complete and not (parsed.problems or parsed.over or parsed.notice)
        if (
            fingerprint is None
            or not complete
            or event_log_sources(parsed)
            or _has_errors(parsed)
            or _has_many_policies(parsed)
        ):
            return
        limit = MAX_REMEMBERED if key in self._ledger.desired.objects else MAX_PASSING
        if len(self._read) < limit or key in self._read:
            self._read[key] = self._with_known(fingerprint, key)

    def keys(self) -> KeysView[SourceKey]:
        """The reports that are remembered."""
        return self._read.keys()

    def forget(self, key: SourceKey) -> None:
        """The report no longer exists."""
        self._read.pop(key, None)

    def _with_known(self, fingerprint: int, key: SourceKey) -> int:
        policies = 0 if self._policies is None else self._policies.version
        taught = 0 if self._rollup is None else self._rollup.owners.members.reported.version(key.namespace)
        return (fingerprint ^ hash((policies, taught))) & BITS


def _has_errors(parsed: ParsedReport) -> bool:
    """What could not be evaluated is noted for the rollup target of its object, which may become known later."""
    return any(violation.result == "error" for violation, _ in parsed.violations)


def _has_many_policies(parsed: ParsedReport) -> bool:
    """Only the first `POLICIES` of a report are counted, and their order may change."""
    sets = (*parsed.covered, *parsed.passing)
    return sum([len(policies) for _, policies in sets]) >= POLICIES
