"""Which of the names that anybody may choose freely are shown one by one: no owner's names push another's out.

Names are admitted in the order in which they come, each on the account of one owner that uses it: the namespace that
the source object lies in, which is as far as the power of most writers goes. Cluster-scoped objects have an account of
their own, half of all.

| a name                                               | is shown                                                  |
|------------------------------------------------------|-----------------------------------------------------------|
| of an owner that has room                            | yes, and stays as long as somebody uses it                |
| of an owner that has none, and others have room      | as soon as another owner uses it, on that one's account   |
| where all room is taken                              | as soon as a name of another is no longer used            |

Pure: no I/O, no clock.
"""

from collections import Counter
from collections.abc import Collection, Container, Hashable, KeysView
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)


class Admission(Generic[Name]):
    """The names that are shown."""

    def __init__(self, *, total: int, each: int, observed: Collection[Name] = ()) -> None:
        """`each`: for a namespace. `observed` names are shown on nobody's account."""
        self.total = total
        self.each = each
        self._known = observed
        self._owners: dict[Name, str] = {}
        self._taken: Counter[str] = Counter()

    def __contains__(self, name: object) -> bool:
        return name in self._owners or name in self._known

    @property
    def names(self) -> KeysView[Name]:
        """But for the known ones."""
        return self._owners.keys()

    def admit(self, name: Name, owner: str) -> bool:
        """Whether the name is shown, now that this owner (a namespace; empty: the cluster) uses it."""
        if name in self._owners or name in self._known:
            return True
        room = self.each if owner else self.total // 2
        if self._taken[owner] >= room or len(self._owners) >= self.total:
            return False
        self._owners[name] = owner
        self._taken[owner] += 1
        return True

    def retain(self, used: Container[Name]) -> None:
        """Give the room of all others back."""
        for name in [name for name in self._owners if name not in used]:
            owner = self._owners.pop(name)
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]
