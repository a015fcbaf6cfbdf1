"""Which state of a MonitoredCluster is believed where states arrive out of order.

Events tell of one object in order; the list that is asked for beside them may be answered long after it was made. So
each state that arrives is judged by what has been noted of its name, and when:

| noted                                | an event    | a list, or an object that was read                    |
|--------------------------------------|-------------|-------------------------------------------------------|
| nothing, or the same version         | CURRENT     | CURRENT                                               |
| its uid is gone, since it left       | OUTDATED    | OUTDATED                                              |
| its uid is gone, before it left      | OUTDATED    | DOUBTFUL: etcd may have been restored                 |
| an older version                     | CURRENT     | CURRENT                                               |
| a newer version, since it left       | OUTDATED    | OUTDATED: it was late                                 |
| a newer version, before it left      | OUTDATED    | DOUBTFUL: etcd may have been restored                 |
| no order; another uid                | DOUBTFUL    | DOUBTFUL                                              |
| no order; noted by an event          | CURRENT     | DOUBTFUL where it was noted since it left             |
| no order; noted by a list            | DOUBTFUL    | DOUBTFUL where it was noted since it left             |

"It left" is when the list, or the reading, was asked for. What is DOUBTFUL is read again, and then taken as it is read.

Invariants
* By name, not by uid: two objects of one name never exist at once, so the newer one's version ends the older one.
* Versions are compared as the numbers that they are, which Kubernetes documents for its own and for custom resources
  since 1.35. Where one is no number there is no order.

Pure: no I/O, no clock; moments are counted, not measured.
"""

from collections.abc import Container
from enum import Enum
from typing import NamedTuple

GONE_KEPT = 10_000
"""Uids that are remembered as gone. No uid comes back, so more would only matter to an answer that is later than ten
thousand deletions."""


class Standing(Enum):
    """What a state that arrives is worth."""

    CURRENT = "current"
    OUTDATED = "outdated"
    DOUBTFUL = "doubtful"


class _Noted(NamedTuple):
    uid: str
    version: str
    moment: int
    told: bool
    """By an event."""


class _Ended(NamedTuple):
    name: str
    moment: int


class Versions:
    """The newest state that was noted of each name, and the uids that are gone."""

    def __init__(self) -> None:
        self._newest: dict[str, _Noted] = {}
        self._gone: dict[str, _Ended] = {}
        """By uid."""
        self._moment = 0

    def moment(self) -> int:
        """What is noted from here on is noted since this moment."""
        self._moment += 1
        return self._moment

    def judge(self, name: str, uid: str, version: str, *, left: int | None = None) -> Standing:
        """`left`: the moment at which it was asked for; None: an event told of it."""
        if uid in self._gone:
            return Standing.OUTDATED if left is None or self._gone[uid].moment >= left else Standing.DOUBTFUL
        noted = self._newest.get(name)
        if noted is None or (noted.uid, noted.version) == (uid, version):
            return Standing.CURRENT
        since = left is None or noted.moment >= left
        order = compared(version, noted.version)
        if order is None:
            doubtful = noted.uid != uid or (since if left is not None else not noted.told)
            return Standing.DOUBTFUL if doubtful else Standing.CURRENT
        if order >= 0:
            return Standing.CURRENT
        return Standing.OUTDATED if since else Standing.DOUBTFUL

    def newest(self, name: str, uid: str, version: str) -> bool:
        """Whether this is what was noted last."""
        noted = self._newest.get(name)
        return noted is not None and (noted.uid, noted.version) == (uid, version)

    def noted_since(self, left: int, name: str, uid: str) -> bool:
        """Whether anything was noted of this name, or the end of this uid."""
        noted, ended = self._newest.get(name), self._gone.get(uid)
        return (noted is not None and noted.moment >= left) or (ended is not None and ended.moment >= left)

    def uid(self, name: str) -> str | None:
        """Of the object that has the name, or had it last, as far as is known."""
        noted = self._newest.get(name)
        return None if noted is None else noted.uid

    def note(self, name: str, uid: str, version: str, *, told: bool) -> None:
        """This is the newest state, whatever was noted before. Another object that had the name is gone. `told`: by an
        event.
        """
        before = self._newest.get(name)
        if before is not None and before.uid != uid:
            self.end(name, before.uid)
        self._gone.pop(uid, None)
        self._newest[name] = _Noted(uid, version, self.moment(), told)

    def end(self, name: str, uid: str) -> None:
        """The object is gone. Its version still tells what of the name is older."""
        self._gone.pop(uid, None)
        self._gone[uid] = _Ended(name, self.moment())
        while len(self._gone) > GONE_KEPT:
            oldest = next(iter(self._gone))
            former = self._gone.pop(oldest).name
            if self.uid(former) == oldest:
                del self._newest[former]

    def missing(self, there: Container[tuple[str, str]], *, left: int) -> list[tuple[str, str]]:
        """Names and uids that were noted before a list left that has them not."""
        return [
            (name, noted.uid)
            for name, noted in self._newest.items()
            if noted.moment < left and noted.uid not in self._gone and (name, noted.uid) not in there
        ]


def compared(version: str, other: str) -> int | None:
    """Negative, zero or positive as of two numbers; None where they have no order."""
    if version == other:
        return 0
    if not (_number(version) and _number(other)):
        return None
    return 1 if (len(version), version) > (len(other), other) else -1


def _number(version: str) -> bool:
    return version.isascii() and version.isdigit() and not version.startswith("0")
