"""Findings under this cluster's id prefix that another cluster wrote: a few are left alone, many are a conflict.

| Security Hub holds under the prefix                    | then                                                     |
|--------------------------------------------------------|----------------------------------------------------------|
| more than `CONFLICT_ABOVE` findings of one uid, active | two clusters use one name, or it was rebuilt: nothing of |
| or archived                                            | this cluster is sent (`conflict`)                        |
| any finding with a former uid of this MonitoredCluster | the cluster was rebuilt, or another one answers:         |
|                                                        | `conflict` as well                                       |
| fewer, active                                          | their ids are quarantined: we never overwrite, archive   |
|                                                        | or count them; all other ids are sent as usual           |
| fewer, archived                                        | abandoned: a finding reported here may take over the id  |
| `MAX_REMEMBERED` or more altogether                    | too many to remember: `conflict`                         |

Pure: no I/O, no clock.
"""

from collections import Counter

CONFLICT_ABOVE = 10
"""A few may be a mistake, a test or malice; an active cluster has more."""
MAX_REMEMBERED = 1_000


class Quarantine:
    """Other clusters' findings under the prefix of one cluster; each id counts once."""

    def __init__(self) -> None:
        self.former: frozenset[str] = frozenset()
        """Former uids of this MonitoredCluster's cluster that the admin has not adopted."""
        self.ids: dict[str, str] = {}
        """Active findings: id → uid of the writer (empty: the finding has none)."""
        self._counted: dict[str, str] = {}
        """All findings, active or archived: id → uid; at most `MAX_REMEMBERED`."""
        self.counts: Counter[str] = Counter()
        """Number of those by uid."""
        self._seen: dict[str, str] = {}
        """The same, as read by the inventory in progress."""

    @property
    def conflict(self) -> bool:
        """Whether nothing may be sent for this cluster."""
        return len(self._counted) >= MAX_REMEMBERED or any(
            number > CONFLICT_ABOVE or (number > 0 and uid in self.former) for uid, number in self.counts.items()
        )

    def add(self, id_: str, uid: str, *, archived: bool, inventory: bool = False) -> None:
        """The finding belongs to another cluster. `inventory`: read by the inventory in progress."""
        if inventory and len(self._seen) < MAX_REMEMBERED:
            self._seen[id_] = uid
        if id_ not in self._counted and len(self._counted) < MAX_REMEMBERED:
            self._counted[id_] = uid
            self.counts[uid] += 1
        if archived:
            self.ids.pop(id_, None)
        elif id_ in self._counted:
            self.ids[id_] = uid

    def release(self, id_: str) -> bool:
        """The finding no longer exists, or is ours. Returns whether it was quarantined."""
        counted = self._counted.pop(id_, None)
        if counted is not None:
            self.counts[counted] -= 1
        return self.ids.pop(id_, None) is not None

    def finish(self) -> list[str]:
        """The inventory is complete: findings that it did not read no longer count. Returns the quarantined ids among
        them. They stay quarantined until they have been read by id, because pages that shift during reading may skip
        findings.
        """
        self._counted, self._seen = self._seen, {}
        self.counts = Counter(self._counted.values())
        missed = [id_ for id_ in self.ids if id_ not in self._counted]
        if self.conflict:  # nothing is sent or read by id before the next inventory
            for id_ in missed:
                del self.ids[id_]
            return []
        return missed
