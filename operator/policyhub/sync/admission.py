"""Which freely chosen names get their own metric series: the names of one owner cannot displace those of another.

Names are admitted in order of arrival. Each counts against the quota of one owner that uses it: the namespace of the
source object, which is all that most writers can write to. Cluster-scoped objects have a quota of their own, half of
the total.

| the name                                            | is shown                                           |
|-----------------------------------------------------|----------------------------------------------------|
| its owner has quota left                            | yes, as long as anybody uses it                    |
| its owner has none left, others have                | when another owner uses it, against that quota     |
| the total is used up                                | when another name is no longer used                |

Pure: no I/O, no clock.
"""

from collections import Counter
from collections.abc import Collection, Container, Hashable, KeysView
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)


class Admission(Generic[Name]):
    """The names that are shown."""

    def __init__(self, *, total: int, each: int, known: Collection[Name] = ()) -> None:
        """`each`: the quota of a namespace. `known` names are always shown and use no quota."""
        self.total = total
        self.each = each
        self._known = known
        self._owners: dict[Name, str] = {}
        self._taken: Counter[str] = Counter()

    def __contains__(self, name: object) -> bool:
        return name in self._owners or name in self._known

    @property
    def names(self) -> KeysView[Name]:
        """The admitted names, without the known ones."""
        return self._owners.keys()

    def admit(self, name: Name, owner: str) -> bool:
        """Whether the name is shown; this owner (a namespace; empty: the cluster) uses it."""
        if name in self._owners or name in self._known:
            return True
        quota = self.each if owner else self.total // 2
        if self._taken[owner] >= quota or len(self._owners) >= self.total:
            return False
        self._owners[name] = owner
        self._taken[owner] += 1
        return True

    def retain(self, used: Container[Name]) -> None:
        """Drop the names that are no longer used."""
        for name in [name for name in self._owners if name not in used]:
            owner = self._owners.pop(name)
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]
