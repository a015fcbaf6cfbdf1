"""Which kinds of custom resources that objects name as their controllers the API server serves.

Anybody can name a kind that there is none of, so discovery is asked, each group and version once and again after an
hour. `question` says what is to be asked, `answer` takes what came; whoever calls them paces it.

| a kind                                                     | an owner of it                                |
|------------------------------------------------------------|-----------------------------------------------|
| is in the document of its group and version                | may be one                                    |
| is not, or the document is not there (404)                 | is none                                       |
| could not be asked for (any other failure)                 | may be one, until the next answer             |
| was not asked for yet                                      | is not known yet                              |
| is one of too many that are not proven (`MOST_EACH`)       | is none                                       |

The limit bounds what one namespace makes us ask and remember; namespaces take turns in what is asked, so that whatever
kinds others name, each has its own asked after as many questions as there are namespaces. A proven kind takes no place:
a cluster serves as many as it serves. Pure: no I/O; the clock is an argument.
"""

from collections.abc import Collection
from typing import Final

import msgspec

from policyhub.clock import NEVER, SteadyMs
from policyhub.sources.violation import Subject

AGAIN_MS: Final = 3_600_000
RETRY_MS: Final = 60_000
"""After a failure."""
MOST_EACH: Final = 8
"""Kinds that are not proven, of one namespace."""

Key = tuple[str, str, str]
"""(group, version, kind)."""


class _Kind(msgspec.Struct):
    users: dict[Subject, None]
    """Owners of it that something names."""
    charged: str | None = None
    """The namespace whose place it takes; None: it takes none."""
    waits: bool = False
    """For a place."""
    served: bool | None = None
    due: SteadyMs = NEVER
    """When it is to be asked for."""


class Served:
    """Of one cluster. `verify` false: there is nobody to ask, and every kind may be one."""

    def __init__(self, *, verify: bool = True) -> None:
        self._verify = verify
        self._kinds: dict[Key, _Kind] = {}
        self._taken: dict[str, int] = {}
        """Namespace → places."""
        self._asked: dict[str | None, None] = {}
        """Whose kinds were asked for, who was last last; None: those that are proven."""
        self._waiting: dict[str, dict[Key, None]] = {}
        """By the namespaces that name them."""

    def __len__(self) -> int:
        return len(self._kinds)

    def use(self, key: Key, owner: Subject) -> None:
        """Something names this owner."""
        if not self._verify:
            return
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind({}, waits=True)
        kind.users[owner] = None
        if kind.waits and not self._admit(key, kind, owner.namespace):
            self._waiting.setdefault(owner.namespace, {})[key] = None

    def drop(self, key: Key, owner: Subject) -> None:
        """Nothing names it any more."""
        kind = self._kinds.get(key)
        if kind is None:
            return
        kind.users.pop(owner, None)
        if kind.users:
            return
        del self._kinds[key]
        self._unwait(key, owner.namespace)
        self._discharge(kind)

    def verdict(self, key: Key) -> bool | None:
        """Whether an owner of this kind may be one; None: not known yet."""
        kind = self._kinds.get(key)
        if kind is None:
            return not self._verify
        return False if kind.waits else kind.served

    def question(self, now: SteadyMs) -> tuple[str, str] | None:
        """The group and version whose document is to be read next."""
        self._promote()
        due: dict[str | None, tuple[SteadyMs, Key]] = {}
        for key, kind in self._kinds.items():
            if not kind.waits and kind.due <= now:
                due[kind.charged] = min(due.get(kind.charged, (kind.due, key)), (kind.due, key))
        if not due:
            return None
        whose = next(iter([one for one in due if one not in self._asked] or [one for one in self._asked if one in due]))
        self._asked.pop(whose, None)
        self._asked[whose] = None
        if len(self._asked) > 1 + len(self._taken):
            self._asked = {one: None for one in self._asked if one is None or one in self._taken}
        _, (group, version, _) = due[whose]
        return group, version

    def answer(self, group: str, version: str, kinds: Collection[str] | None, *, now: SteadyMs) -> list[Subject]:
        """The kinds in the document (None: it could not be read); the owners that this concerns."""
        concerned: list[Subject] = []
        for key, kind in self._kinds.items():
            if key[:2] != (group, version) or kind.waits:
                continue
            before = kind.served
            if kinds is None:
                kind.served = True if before is None else before
            else:
                kind.served = key[2] in kinds
            kind.due = now + (RETRY_MS if kinds is None else AGAIN_MS)
            if kinds is not None and kind.served:
                self._discharge(kind)
            if kind.served != before:
                concerned += kind.users
        return concerned

    def _admit(self, key: Key, kind: _Kind, namespace: str) -> bool:
        if self._taken.get(namespace, 0) >= MOST_EACH:
            return False
        self._taken[namespace] = self._taken.get(namespace, 0) + 1
        kind.charged, kind.waits = namespace, False
        for where in {user.namespace for user in kind.users} if self._waiting else ():
            self._unwait(key, where)
        return True

    def _discharge(self, kind: _Kind) -> None:
        if kind.charged is None:
            return
        self._taken[kind.charged] -= 1
        if not self._taken[kind.charged]:
            del self._taken[kind.charged]
        kind.charged = None

    def _promote(self) -> None:
        """Give free places to those that wait, one for each namespace."""
        for namespace in list(self._waiting):
            key = next(iter(self._waiting[namespace]))
            kind = self._kinds.get(key)
            if kind is None or not kind.waits:
                self._unwait(key, namespace)
            else:
                self._admit(key, kind, namespace)

    def _unwait(self, key: Key, namespace: str) -> None:
        waiting = self._waiting.get(namespace)
        if waiting is not None:
            waiting.pop(key, None)
            if not waiting:
                del self._waiting[namespace]
