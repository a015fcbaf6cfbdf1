"""Findings under this cluster's prefix that another cluster has written: a few are left alone, many are a conflict.

| what Security Hub holds under the prefix               | then                                                     |
|--------------------------------------------------------|----------------------------------------------------------|
| more than `MANY` findings of one uid, active or not    | two clusters use one name, or it was rebuilt: nothing of |
|                                                        | this cluster is sent (`conflict`)                        |
| any of a uid that this MonitoredCluster had before     | it was rebuilt, or another one answers: the same         |
| fewer, active                                          | their ids are quarantined: never imported over, archived |
|                                                        | or rated by us; all other ids go on                      |
| fewer, archived                                        | nobody's any more: an id that is reported here is taken  |
| `MOST` or more altogether                              | too many to remember: a conflict                         |

Pure: no I/O, no clock.
"""

from collections import Counter

MANY = 10
"""One or a few may be a mistake, a test or malice; a cluster that is at work has more."""
MOST = 1_000


class Quarantine:
    """What is known of other clusters' findings under one cluster's prefix; each id counts once."""

    def __init__(self) -> None:
        self.former: frozenset[str] = frozenset()
        """Uids that this MonitoredCluster's cluster had before, and that nobody has adopted."""
        self.ids: dict[str, str] = {}
        """The active ones by id, with the uid of who wrote it (empty: it carries none)."""
        self._counted: dict[str, str] = {}
        """All that are known, active or archived, by id with the uid: at most `MOST`."""
        self.numbers: Counter[str] = Counter()
        """How many those are, by uid."""
        self._seen: dict[str, str] = {}
        """The same as met by the inventory under way."""

    @property
    def conflict(self) -> bool:
        """Whether nothing of this cluster may be sent."""
        return len(self._counted) >= MOST or any(
            number > MANY or (number > 0 and uid in self.former) for uid, number in self.numbers.items()
        )

    def meet(self, id_: str, uid: str, *, archived: bool, inventory: bool = False) -> None:
        """Take that the finding is another cluster's."""
        if inventory and len(self._seen) < MOST:
            self._seen[id_] = uid
        if id_ not in self._counted and len(self._counted) < MOST:
            self._counted[id_] = uid
            self.numbers[uid] += 1
        if archived:
            self.ids.pop(id_, None)
        elif id_ in self._counted:
            self.ids[id_] = uid

    def release(self, id_: str) -> bool:
        """Take that it is there no longer, or is ours; whether it was quarantined."""
        counted = self._counted.pop(id_, None)
        if counted is not None:
            self.numbers[counted] -= 1
        return self.ids.pop(id_, None) is not None

    def finish(self) -> list[str]:
        """The inventory is complete: what it did not meet counts no more. Returns quarantined ids among those; they
        stay until they have been read by id, because pages that shift while they are read skip some.
        """
        self._counted, self._seen = self._seen, {}
        self.numbers = Counter(self._counted.values())
        missed = [id_ for id_ in self.ids if id_ not in self._counted]
        if self.conflict:  # nothing is sent or read by id before another inventory has met what there is
            for id_ in missed:
                del self.ids[id_]
            return []
        return missed
