"""What Security Hub has acknowledged lately, at one account and Region: it outlives the ledgers that sent it.

GetFindings lags, so for a while an acknowledgement knows better than what is read. A ledger ends with its data plane:
at a change of the spec, when the MonitoredCluster is created again, at a reconnect to a rebuilt cluster. What it had
been told is still true then, and the ledger that follows it starts from here for the ids that are here.

Invariants
* Ids carry the identity of their cluster, so one of these serves all clusters of an account and Region.
* Nothing is kept longer than `RECENT_MS`, so no more is kept than was sent in that time.

Pure: no I/O, no clock; times are milliseconds of a clock that never jumps.
"""

from typing import NamedTuple

from policyhub.sync.entry import Known

RECENT_MS = 15 * 60_000
"""How long an acknowledgement overrules what GetFindings says; the same as `ACK_OVERRULES_MS` of
`policyhub.sync.observed`."""


class _Noted(NamedTuple):
    known: Known
    at: int


class Acknowledged:
    """The last acknowledgement of each finding, while it is recent."""

    def __init__(self) -> None:
        self._noted: dict[str, _Noted] = {}
        """The oldest first."""

    def __len__(self) -> int:
        return len(self._noted)

    def note(self, id_: str, known: Known, now: int) -> None:
        """Security Hub took this import of the finding."""
        self._noted.pop(id_, None)
        self._noted[id_] = _Noted(known, now)
        self.prune(now)

    def recent(self, id_: str, now: int) -> Known | None:
        """The finding as it was acknowledged, if that is recent."""
        noted = self._noted.get(id_)
        return None if noted is None or now - noted.at > RECENT_MS else noted.known

    def moment(self, id_: str) -> int:
        """When that was; 0 where nothing is known of it."""
        noted = self._noted.get(id_)
        return 0 if noted is None else noted.at

    def clear(self) -> None:
        """Security Hub was switched off: it has nothing any more."""
        self._noted.clear()

    def prune(self, now: int) -> None:
        """Forget what is no longer recent."""
        while self._noted:
            oldest = next(iter(self._noted))
            if now - self._noted[oldest].at <= RECENT_MS:
                return
            del self._noted[oldest]
