"""If several MonitoredClusters have the same identity and hub, only the oldest one sends findings.

Two writers would archive each other's findings. The oldest one sends, so that nobody can stop another cluster by
creating a MonitoredCluster. This holds across operators: the age of an object is the same for all of them.

| the MonitoredCluster                                | claims its identity                                            |
|-----------------------------------------------------|----------------------------------------------------------------|
| this operator handles it, and it has a data plane   | at the hub that it sends to                                    |
| this operator handles it, and it cannot start       | no                                                             |
| its mode is DryRun                                  | no: it sends nothing                                           |
| another operator has found its spec invalid         | no, until the spec changes: it sends nothing                   |
| another operator, or none, handles it               | at the hub in its status, else in its spec; if neither names   |
|                                                     | one, at every hub: the other operator's settings are unknown   |
| is deleted, but a finalizer keeps it                | no                                                             |

The data plane of a MonitoredCluster that had to wait for another operator's starts again before it sends: this process
did not see what the other one sent. For the same reason one that made no claim starts as after a hand-over.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from policyhub.api.reason import Reason
from policyhub.api.status import Condition
from policyhub.clock import WallMs
from policyhub.control.monitored import current_reason, identity_of, is_dry_run, recorded_status
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

    def __init__(self, watched: Mapping[str, Watched], *, wall: Callable[[], WallMs]) -> None:
        """`watched` is the supervisor's dict, by name; it changes."""
        self._watched = watched
        self._wall = wall
        self._others: dict[str, Claim] = {}
        """By name, of the MonitoredClusters that this operator does not handle."""

    def note(self, body: Mapping[str, Any], *, ours: bool) -> bool:
        """Take a state of a MonitoredCluster. Returns whether another operator's claim has changed."""
        name = str(body["metadata"]["name"])
        before = self._others.pop(name, None)
        if not ours and _is_claimed(body):
            self._others[name] = _claim_in(body)
        return self._others.get(name) != before

    def forget(self, name: str, uid: str) -> bool:
        """The MonitoredCluster with this uid is gone. Returns whether another operator's claim has changed."""
        if name not in self._others or self._others[name].age[1] != uid:
            return False
        del self._others[name]
        return True

    def took_over(self) -> Predecessor:
        """The predecessor of a data plane that starts now, after another MonitoredCluster's has sent its findings: its
        own heartbeat may be old.
        """
        now = self._wall()
        return Predecessor(started=now, renewed=now)

    def decide(self, *, listed: bool) -> None:
        """Set for each data plane whether it may send. `listed`: all MonitoredClusters have been listed once; before,
        the oldest one is not known, and none may send.
        """
        own = [
            Claim(watched.age, watched.name, watched.claim[2], watched.claim[:2], watched)
            for watched in self._watched.values()
            if watched.plane is not None
        ]
        by_identity: defaultdict[str, list[Claim]] = defaultdict(list)
        for claim in (*(claim for claim in own if claim.watched and claim.watched.claims), *self._others.values()):
            by_identity[claim.identity].append(claim)
        for claims in by_identity.values():
            claims.sort(key=lambda claim: claim.age)
        for claim in own:
            if claim.watched is not None:
                claims = by_identity[claim.identity]
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
            watched.predecessor = self.took_over()
        plane.claim(
            older=older.name if older is not None else "",
            younger=() if older is not None or not watched.claims else tuple(other.name for other in rivals),
            unlisted=not listed,
            restarts=older is None and watched.outranked,
        )


def made_no_claim(before: Watched | None, uid: str, recorded: Mapping[str, Condition]) -> bool:
    """Whether another MonitoredCluster may have sent the findings of the one with this uid, which starts now: in its
    state before, or by its recorded conditions, it made no claim or waited for an older one. Pure.
    """
    ready, conflict = recorded.get("Ready"), recorded.get("IdentityConflict")
    return (
        (before is not None and before.uid == uid and not (before.plane is not None and before.claims))
        or (ready is not None and ready.reason in _CLAIM_NOTHING)
        or (conflict is not None and conflict.reason == Reason.CLAIMED_TWICE)
    )


_CLAIM_NOTHING = frozenset({Reason.DRY_RUN, Reason.INVALID_SPEC})


def _is_claimed(body: Mapping[str, Any]) -> bool:
    """Whether a MonitoredCluster of another operator claims its identity."""
    is_deleted = bool(body["metadata"].get("deletionTimestamp"))
    is_invalid = current_reason(body, "Ready") == Reason.INVALID_SPEC
    return not (is_deleted or is_dry_run(body) or is_invalid)


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
