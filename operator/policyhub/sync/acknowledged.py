"""What Security Hub has acknowledged lately, at one account and Region: it outlives the ledgers that sent it.

GetFindings lags, so for a while an acknowledgement knows better than what is read. A ledger ends with its data plane:
at a change of the spec, when the MonitoredCluster is created again, at a reconnect to a rebuilt cluster. What it had
been told is still true then, and the ledger that follows it starts from here for the ids that are here. A call that the
ended ledger had under way may be answered, or not, after that: the ledger that follows is told of it at once.

Invariants
* Ids carry the identity of their cluster, so one of these serves all clusters of an account and Region.
* Nothing is kept longer than `RECENT_MS`, so no more is kept than was sent in that time.

Pure: no I/O, no clock.
"""

from collections import defaultdict
from typing import NamedTuple, Protocol

from policyhub.clock import NEVER, SteadyMs, WallMs
from policyhub.sync.entry import ObservedFinding

RECENT_MS = 15 * 60_000
"""How long an acknowledgement overrules what GetFindings says."""


def sign(cluster_uid: str, id_: str) -> str:
    """What an acknowledgement of this very cluster is known by."""
    return f"{cluster_uid}/{id_}"


class _Noted(NamedTuple):
    observed: ObservedFinding
    at: SteadyMs


class Follower(Protocol):
    """What of a ledger is told of calls that are not its own."""

    @property
    def cluster_uid(self) -> str: ...

    def overtake(self, id_: str, observed: ObservedFinding | None, *, now: SteadyMs) -> None:
        """Another ledger's call about the finding was answered; None: it never will be."""


class Acknowledged:
    """The last acknowledgement of each finding, while it is recent."""

    def __init__(self) -> None:
        self._noted: dict[str, _Noted] = {}
        """The oldest first."""
        self._followers: defaultdict[str, list[Follower]] = defaultdict(list)
        """By the uid of their cluster."""

    def __len__(self) -> int:
        return len(self._noted)

    def follow(self, follower: Follower) -> None:
        """Tell this one what becomes of other ledgers' calls about its cluster."""
        self._followers[follower.cluster_uid].append(follower)

    def unfollow(self, follower: Follower) -> None:
        """It has ended; nothing happens if it was never followed."""
        followers = self._followers.get(follower.cluster_uid, [])
        if follower in followers:
            followers.remove(follower)
        if not followers:
            self._followers.pop(follower.cluster_uid, None)

    def note(self, by: Follower, id_: str, observed: ObservedFinding, now: SteadyMs) -> None:
        """Security Hub took this import of the finding."""
        signed = sign(by.cluster_uid, id_)
        before = self._noted.get(signed)
        if before is not None and before.observed.updated_at > observed.updated_at:
            return  # the answers came in another order: Security Hub has ignored the older import
        self._noted.pop(signed, None)
        self._noted[signed] = _Noted(observed, now)
        self.prune(now)
        self._tell(by, id_, observed, now=now)

    def doubt(self, by: Follower, id_: str, now: SteadyMs) -> None:
        """Security Hub may or may not have taken an import of the finding."""
        self._tell(by, id_, None, now=now)

    def _tell(self, by: Follower, id_: str, observed: ObservedFinding | None, *, now: SteadyMs) -> None:
        for follower in self._followers.get(by.cluster_uid, ()):
            if follower is not by:
                follower.overtake(id_, observed, now=now)

    def recent(self, id_: str, now: SteadyMs) -> ObservedFinding | None:
        """The finding as it was acknowledged, if that is recent."""
        noted = self._noted.get(id_)
        return None if noted is None or now - noted.at > RECENT_MS else noted.observed

    def moment(self, id_: str) -> SteadyMs:
        """When that was; 0 where nothing is known of it."""
        noted = self._noted.get(id_)
        return NEVER if noted is None else noted.at

    def sent(self, cluster_uid: str, start: str, *, now: SteadyMs) -> dict[str, WallMs]:
        """UpdatedAt of the findings that are active by their last recent acknowledgement, whose ids begin so."""
        cut = len(sign(cluster_uid, ""))
        return {
            signed[cut:]: noted.observed.updated_at
            for signed, noted in self._noted.items()
            if signed.startswith(sign(cluster_uid, start))
            and not noted.observed.archived
            and now - noted.at <= RECENT_MS
        }

    def clear(self) -> None:
        """Security Hub was switched off: it has nothing any more."""
        self._noted.clear()

    def prune(self, now: SteadyMs) -> None:
        """Forget what is no longer recent."""
        while self._noted:
            oldest = next(iter(self._noted))
            if now - self._noted[oldest].at <= RECENT_MS:
                return
            del self._noted[oldest]
