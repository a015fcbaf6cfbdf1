"""Recent acknowledgements of Security Hub, for one account and Region: they outlive the ledgers that sent the imports.

GetFindings lags, so a recent acknowledgement is more reliable than a read. A ledger ends with its data plane: when the
spec changes, when the MonitoredCluster is created again, and on reconnection to a rebuilt cluster. The acknowledgements
remain valid, and the next ledger starts from them. A call of the former ledger may end later, with or without an
answer: the next ledger is notified at once.

Invariants
* Ids contain the identity of their cluster, so one object serves all clusters of an account and Region.
* Nothing is kept longer than `RECENT_MS`, so the size is bounded by the imports of that time.

Pure: no I/O, no clock.
"""

from collections import defaultdict
from typing import Protocol

import msgspec

from policyhub.clock import NEVER, SteadyMs, WallMs
from policyhub.sync.entry import ObservedFinding

RECENT_MS = 15 * 60_000
"""How long an acknowledgement takes precedence over GetFindings."""


class _Acknowledgement(msgspec.Struct, frozen=True, gc=False):
    observed: ObservedFinding
    at: SteadyMs


class Follower(Protocol):
    """The part of a ledger that is notified of imports by other ledgers."""

    @property
    def cluster_uid(self) -> str: ...

    def note_other_import(self, id_: str, observed: ObservedFinding | None, *, now: SteadyMs) -> None:
        """Another ledger's import of the finding was acknowledged; None: it got no answer."""


class Acknowledged:
    """The last acknowledgement of each finding, while it is recent."""

    def __init__(self) -> None:
        self._recent: dict[str, dict[str, _Acknowledgement]] = {}
        """By cluster uid, then by id; for each cluster, oldest first. The ids are the ledgers' own strings, which costs
        less memory than a key of both.
        """
        self._followers: defaultdict[str, list[Follower]] = defaultdict(list)
        """By cluster uid."""

    def __len__(self) -> int:
        return sum(map(len, self._recent.values()))

    def follow(self, follower: Follower) -> None:
        """Notify this one of other ledgers' imports for its cluster."""
        self._followers[follower.cluster_uid].append(follower)

    def unfollow(self, follower: Follower) -> None:
        """Stop notifying it; without effect if it does not follow."""
        followers = self._followers.get(follower.cluster_uid, [])
        if follower in followers:
            followers.remove(follower)
        if not followers:
            self._followers.pop(follower.cluster_uid, None)

    def note(self, by: Follower, id_: str, observed: ObservedFinding, now: SteadyMs) -> None:
        """Security Hub acknowledged this import of the finding."""
        recent = self._recent.setdefault(by.cluster_uid, {})
        before = recent.get(id_)
        if before is not None and before.observed.updated_at > observed.updated_at:
            return  # the answers arrived out of order: Security Hub ignored the older import
        recent.pop(id_, None)
        recent[id_] = _Acknowledgement(observed, now)
        _prune(recent, now)
        self._notify(by, id_, observed, now=now)

    def note_unanswered(self, by: Follower, id_: str, now: SteadyMs) -> None:
        """An import of the finding got no answer: it may have been written."""
        self._notify(by, id_, None, now=now)

    def _notify(self, by: Follower, id_: str, observed: ObservedFinding | None, *, now: SteadyMs) -> None:
        for follower in self._followers.get(by.cluster_uid, ()):
            if follower is not by:
                follower.note_other_import(id_, observed, now=now)

    def recent(self, cluster_uid: str, id_: str, now: SteadyMs) -> ObservedFinding | None:
        """The finding as acknowledged, if that was recently."""
        acknowledgement = self._recent.get(cluster_uid, {}).get(id_)
        return None if acknowledgement is None or now - acknowledgement.at > RECENT_MS else acknowledgement.observed

    def acknowledged_at(self, cluster_uid: str, id_: str) -> SteadyMs:
        """When it was acknowledged; 0: not known."""
        acknowledgement = self._recent.get(cluster_uid, {}).get(id_)
        return NEVER if acknowledgement is None else acknowledgement.at

    def recent_updates(self, cluster_uid: str, id_prefix: str, *, now: SteadyMs) -> dict[str, WallMs]:
        """UpdatedAt of the findings with this id prefix whose last recent acknowledgement shows them active."""
        return {
            id_: acknowledgement.observed.updated_at
            for id_, acknowledgement in self._recent.get(cluster_uid, {}).items()
            if id_.startswith(id_prefix)
            and not acknowledgement.observed.archived
            and now - acknowledgement.at <= RECENT_MS
        }

    def clear(self) -> None:
        """Security Hub was disabled: it holds nothing any more."""
        self._recent.clear()

    def prune(self, now: SteadyMs) -> None:
        """Forget what is no longer recent."""
        for uid, recent in list(self._recent.items()):
            _prune(recent, now)
            if not recent:
                del self._recent[uid]


def _prune(recent: dict[str, _Acknowledgement], now: SteadyMs) -> None:
    while recent:
        oldest = next(iter(recent))
        if now - recent[oldest].at <= RECENT_MS:
            return
        del recent[oldest]
