"""Which reports say what they said when they were last read, so that none of it has to be read again.

Engines write each report again at each scan, with new times. Of such a rewrite only its times teach anything, and they
are learned as by any reading. Known is a report by its fingerprint (`sources.fingerprint`), which also holds what else
a reading depends on: what is known of the policies, and what the namespace has taught.

| a report                                                         | then                                              |
|------------------------------------------------------------------|---------------------------------------------------|
| could not be taken as a whole: problems, limits, a cut list      | is not remembered                                 |
| holds a log of events                                            | is not remembered                                 |
| has become incomplete since, or may close a notice               | is read (`Sources.stands`)                        |
| is of a namespace in which a lost finding waits for a report     | is read                                           |
| has results that count for others by now                         | is read (`Rollup.stands`)                         |

Pure: no I/O, no clock.
"""

from typing import Final

from policyhub.sources.event_logs import logs_in
from policyhub.sources.fingerprint import Decoded
from policyhub.sources.violation import ParsedReport, SourceKey
from policyhub.sync.ledger import Ledger
from policyhub.sync.policy_metadata import PolicyMetadata
from policyhub.sync.rollup import Rollup

MOST: Final = 200_000
"""Reports that are remembered, at some 90 bytes each; all others are read each time."""
MOST_PASSING: Final = 20_000
"""With how many of them one is remembered that claims nothing: it takes 250 bytes, since nothing else is kept of it,
and is read in half the time."""

Newest = tuple[tuple[str, int], ...]


class Rewrites:
    """Of one source API."""

    def __init__(self, *, ledger: Ledger, rollup: Rollup | None, policies: PolicyMetadata | None) -> None:
        self._ledger = ledger
        self._rollup = rollup
        self._policies = policies
        self._read: dict[SourceKey, int] = {}

    def newest(self, decoded: Decoded, fingerprint: int | None, *, latest: int) -> Newest | None:
        """The newest times that a rewrite without a change tells; None where the report has to be read. As long as that
        has not been done, it is not known.
        """
        key = decoded.key
        known = self._read.get(key)
        if known is None:
            return None
        if (
            fingerprint is not None
            and known == self._with_known(fingerprint, key)
            and self._ledger.sources.stands(key)
            and (self._rollup is None or self._rollup.stands(key))
        ):
            return decoded.newest_by(latest=latest)
        del self._read[key]
        return None

    def remember(self, reading: ParsedReport, fingerprint: int | None) -> None:
        """The report was read and taken."""
        key = reading.key
        whole = reading.complete and not (reading.problems or reading.over or reading.notice)
        if fingerprint is None or not whole or logs_in(reading):
            return
        room = MOST if key in self._ledger.desired.objects else MOST_PASSING
        if len(self._read) < room or key in self._read:
            self._read[key] = self._with_known(fingerprint, key)

    def forget(self, key: SourceKey) -> None:
        """The report is gone."""
        self._read.pop(key, None)

    def _with_known(self, fingerprint: int, key: SourceKey) -> int:
        policies = 0 if self._policies is None else self._policies.version
        taught = 0 if self._rollup is None else self._rollup.owners.members.reported.version(key.namespace)
        return fingerprint ^ hash((policies, taught))
