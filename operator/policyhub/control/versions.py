"""Decides whether a state of a MonitoredCluster is current, when states arrive out of order.

Events for one object arrive in order. The answer to a list request may arrive long after it was made. So each state is
compared with what was recorded for its name, and with when that was recorded:

| recorded                                   | an event    | a list, or an object that was read              |
|--------------------------------------------|-------------|-------------------------------------------------|
| nothing, or the same version               | CURRENT     | CURRENT                                         |
| the uid is gone, recorded since the request| OUTDATED    | OUTDATED                                        |
| the uid is gone, recorded before           | OUTDATED    | UNCERTAIN: etcd may have been restored          |
| an older version                           | CURRENT     | CURRENT                                         |
| a newer version, since the request         | OUTDATED    | OUTDATED: the answer was late                   |
| a newer version, before the request        | OUTDATED    | UNCERTAIN: etcd may have been restored          |
| no order; another uid                      | UNCERTAIN   | UNCERTAIN                                       |
| no order; recorded from an event           | CURRENT     | UNCERTAIN if recorded since the request         |
| no order; recorded from a list             | UNCERTAIN   | UNCERTAIN if recorded since the request         |

The request is that for the list or the object. An UNCERTAIN object is read again, and the answer is then accepted.

Invariants
* States are recorded by name, not by uid: two objects of one name never exist at once, so the version of the newer
  object outdates the older one.
* resourceVersions are compared as numbers. Kubernetes documents this for its own and for custom resources since 1.35.
  If a version is not a number, there is no order.

Pure: no I/O, no clock; moments are a counter, not a time.
"""

from collections.abc import Container
from enum import Enum
from typing import NamedTuple

MAX_GONE = 10_000
"""Deleted uids that are remembered. Uids are never reused, so more would only help against an answer that is later than
ten thousand deletions."""


class Freshness(Enum):
    """Whether a state that arrives is current."""

    CURRENT = "current"
    OUTDATED = "outdated"
    UNCERTAIN = "uncertain"


class _Recorded(NamedTuple):
    uid: str
    version: str
    moment: int
    from_event: bool
    """Recorded from an event, not from a list."""


class _Gone(NamedTuple):
    name: str
    moment: int


class Versions:
    """The newest recorded state of each name, and the uids that are gone."""

    def __init__(self) -> None:
        self._newest: dict[str, _Recorded] = {}
        self._gone: dict[str, _Gone] = {}
        """uid → deletion."""
        self._moment = 0

    def moment(self) -> int:
        """A new moment: everything recorded afterwards counts as recorded since then."""
        self._moment += 1
        return self._moment

    def classify(self, name: str, uid: str, version: str, *, requested_at: int | None = None) -> Freshness:
        """`requested_at`: the moment of the request; None: the state came by an event."""
        if uid in self._gone:
            return (
                Freshness.OUTDATED
                if requested_at is None or self._gone[uid].moment >= requested_at
                else Freshness.UNCERTAIN
            )
        recorded = self._newest.get(name)
        if recorded is None or (recorded.uid, recorded.version) == (uid, version):
            return Freshness.CURRENT
        since = requested_at is None or recorded.moment >= requested_at
        order = compared(version, recorded.version)
        if order is None:
            uncertain = recorded.uid != uid or (since if requested_at is not None else not recorded.from_event)
            return Freshness.UNCERTAIN if uncertain else Freshness.CURRENT
        if order >= 0:
            return Freshness.CURRENT
        return Freshness.OUTDATED if since else Freshness.UNCERTAIN

    def is_newest(self, name: str, uid: str, version: str) -> bool:
        """Whether this is the state that was recorded last."""
        recorded = self._newest.get(name)
        return recorded is not None and (recorded.uid, recorded.version) == (uid, version)

    def recorded_since(self, requested_at: int, name: str, uid: str) -> bool:
        """Whether a state of this name, or the deletion of this uid, was recorded since the request."""
        recorded, gone = self._newest.get(name), self._gone.get(uid)
        return (recorded is not None and recorded.moment >= requested_at) or (
            gone is not None and gone.moment >= requested_at
        )

    def uid(self, name: str) -> str | None:
        """The uid of the object that has the name, or had it last; None: unknown."""
        recorded = self._newest.get(name)
        return None if recorded is None else recorded.uid

    def record(self, name: str, uid: str, version: str, *, from_event: bool) -> None:
        """Record the newest state, whatever was recorded before. Another object that had the name counts as gone.
        `from_event`: the state came by an event, not from a list.
        """
        before = self._newest.get(name)
        if before is not None and before.uid != uid:
            self.mark_gone(name, before.uid)
        self._gone.pop(uid, None)
        self._newest[name] = _Recorded(uid, version, self.moment(), from_event)

    def mark_gone(self, name: str, uid: str) -> None:
        """Record a deletion. The object's last version is kept, to recognise older states of the name."""
        self._gone.pop(uid, None)
        self._gone[uid] = _Gone(name, self.moment())
        while len(self._gone) > MAX_GONE:
            oldest = next(iter(self._gone))
            former = self._gone.pop(oldest).name
            if self.uid(former) == oldest:
                del self._newest[former]

    def missing(self, there: Container[tuple[str, str]], *, requested_at: int) -> list[tuple[str, str]]:
        """Names and uids that were recorded before the list was requested, and that the list lacks."""
        return [
            (name, recorded.uid)
            for name, recorded in self._newest.items()
            if recorded.moment < requested_at and recorded.uid not in self._gone and (name, recorded.uid) not in there
        ]


def compared(version: str, other: str) -> int | None:
    """Negative, zero or positive, as for numbers; None if there is no order."""
    if version == other:
        return 0
    if not (_number(version) and _number(other)):
        return None
    return 1 if (len(version), version) > (len(other), other) else -1


def _number(version: str) -> bool:
    return version.isascii() and version.isdigit() and not version.startswith("0")
