"""If several MonitoredClusters have the same identity and hub, only the oldest one sends findings.

Two writers would archive each other's findings. The oldest one sends, so that nobody can stop another cluster by
creating a MonitoredCluster. This holds across operators: the age of an object is the same for all of them.

| the MonitoredCluster                                | claims its identity                                            |
|-----------------------------------------------------|----------------------------------------------------------------|
| this operator handles it, and it has a data plane   | at the hub that it sends to                                    |
| this operator handles it, and it cannot start       | no                                                             |
| another operator, or none, handles it               | at the hub in its status, else in its spec; if neither names   |
|                                                     | one, at every hub: the other operator's settings are unknown   |
| is deleted, but a finalizer keeps it                | no                                                             |

The data plane of a MonitoredCluster that had to wait for another operator's starts again before it sends: this process
did not see what the other one sent.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from policyhub.control.monitored import identity_of, recorded_status
from policyhub.control.reporter import YOUNGEST, Watched
from policyhub.securityhub.target import named_in
from policyhub.sync.predecessor import Predecessor


class Claim(NamedTuple):
    """Of one MonitoredCluster on its identity."""

    age: tuple[str, str, str]
    """Sort key, oldest first; unique."""
    name: str
    identity: str
    hub: tuple[str, str]
    """(account, Region); an empty one is unknown."""
    watched: Watched | None = None
    """None: this operator does not handle it."""

    def contradicts(self, other: "Claim") -> bool:
        """Whether only one of the two, which have the same identity, may send."""
        return all(one == another or not one or not another for one, another in zip(self.hub, other.hub, strict=True))


class Claims:
    """The claims of all MonitoredClusters of the home cluster."""

    def __init__(self, watched: Mapping[str, Watched], *, took_over: Callable[[], Predecessor]) -> None:
        """`watched` is the supervisor's dict, by name; it changes. `took_over`: the predecessor of what this process
        takes over from another operator now.
        """
        self._watched = watched
        self._took_over = took_over
        self._others: dict[str, Claim] = {}
        """By name, of the MonitoredClusters that this operator does not handle."""

    def note(self, body: Mapping[str, Any], *, ours: bool) -> bool:
        """Take a state of a MonitoredCluster. Returns whether another operator's claim has changed."""
        name = str(body["metadata"]["name"])
        before = self._others.pop(name, None)
        if not ours and not body["metadata"].get("deletionTimestamp"):
            self._others[name] = _claim_in(body)
        return self._others.get(name) != before

    def forget(self, name: str, uid: str) -> bool:
        """The MonitoredCluster with this uid is gone. Returns whether another operator's claim has changed."""
        if name not in self._others or self._others[name].age[1] != uid:
            return False
        del self._others[name]
        return True

    def decide(self, *, listed: bool) -> None:
        """Set for each data plane whether it may send. `listed`: all MonitoredClusters have been listed once; before,
        the oldest one is not known, and none may send.
        """
        by_identity: defaultdict[str, list[Claim]] = defaultdict(list)
        for watched in self._watched.values():
            if watched.plane is not None:
                claim = Claim(watched.age, watched.name, watched.claim[2], watched.claim[:2], watched)
                by_identity[claim.identity].append(claim)
        for claim in self._others.values():
            if claim.identity in by_identity:
                by_identity[claim.identity].append(claim)
        for claims in by_identity.values():
            claims.sort(key=lambda claim: claim.age)
            for claim in claims:
                if claim.watched is not None:
                    rivals = [other for other in claims if other is not claim and claim.contradicts(other)]
                    self._decide(claim, claim.watched, rivals, listed=listed)

    def _decide(self, claim: Claim, watched: Watched, rivals: list[Claim], *, listed: bool) -> None:
        """`rivals`: the contradicting claims, the oldest first."""
        if (plane := watched.plane) is None:
            return
        older = rivals[0] if rivals and rivals[0].age < claim.age else None
        if older is not None:
            watched.outranked |= older.watched is None
        elif watched.outranked and listed and watched.intent is not None:
            watched.intent = None  # the next event or comparison starts it again, as one that is handed over
            watched.predecessor = self._took_over()
        plane.claim(
            older=older.name if older is not None else "",
            younger=() if older is not None else tuple(other.name for other in rivals),
            unlisted=not listed or (older is None and watched.outranked),
        )


def _claim_in(body: Mapping[str, Any]) -> Claim:
    metadata = body["metadata"]
    name, uid = str(metadata["name"]), str(metadata["uid"])
    named, recorded = named_in(body), recorded_status(body).hub
    return Claim(
        age=(metadata.get("creationTimestamp") or YOUNGEST, uid, name),
        name=name,
        identity=identity_of(body),
        hub=(recorded.account_id, recorded.region)
        if recorded is not None
        else (named.account_id or "", named.region or ""),
    )
