"""Which kinds of custom resources, that objects name as their controllers, the API server serves.

Anybody can name a kind that does not exist, so discovery is asked: once for each group and version, and again after an
hour. `next_group_version` says what to ask, `record_kinds` takes the answer; the caller paces the requests.

| the kind                                                   | an owner of this kind                         |
|------------------------------------------------------------|-----------------------------------------------|
| is in the discovery document of its group and version      | may be a controller                           |
| is not in it, or there is no such document (404)           | is no controller                              |
| could not be asked for (any other failure)                 | may be a controller, until the next answer    |
| was not asked for yet                                      | is not known yet                              |
| exceeds the limit of unproven kinds (`MAX_UNPROVEN`)       | is no controller                              |

A kind is proven once discovery has shown it. The limit bounds what one namespace makes us ask and remember. Namespaces
take turns: whatever kinds others name, a namespace has its own asked for after as many requests as there are
namespaces. A proven kind takes no slot: a cluster serves as many as it serves. Pure: no I/O; the clock is an argument.
"""

from collections.abc import Collection
from typing import Final

import msgspec

from policyhub.clock import NEVER, SteadyMs
from policyhub.model.violation import Subject

RECHECK_MS: Final = 3_600_000
RETRY_MS: Final = 60_000
"""After a failed request."""
MAX_UNPROVEN: Final = 8
"""Kinds that one namespace may name before discovery has shown them."""

Key = tuple[str, str, str]
"""(group, version, kind)."""


class _Kind(msgspec.Struct):
    users: dict[Subject, None]
    """Owners of this kind that objects name."""
    slot_of: str | None = None
    """The namespace whose slot it takes; None: it takes none."""
    waiting_for_slot: bool = False
    """Whether it waits for a free slot."""
    served: bool | None = None
    due: SteadyMs = NEVER
    """When to ask for it."""


class ServedKinds:
    """The served kinds of one cluster. Without `verify` nobody can be asked, and every kind counts as served."""

    def __init__(self, *, verify: bool = True) -> None:
        self._verify = verify
        self._kinds: dict[Key, _Kind] = {}
        self._slots_used: dict[str, int] = {}
        """Namespace → how many slots its kinds take."""
        self._last_asked: dict[str | None, None] = {}
        """Namespaces whose kinds were asked for, the last one last; None stands for proven kinds."""
        self._waiting: dict[str, dict[Key, None]] = {}
        """Namespace → kinds that it names and that wait for a slot."""

    def __len__(self) -> int:
        return len(self._kinds)

    def use(self, key: Key, owner: Subject) -> None:
        """An object names this owner."""
        if not self._verify:
            return
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind({}, waiting_for_slot=True)
        kind.users[owner] = None
        if kind.waiting_for_slot and not self._admit(key, kind, owner.namespace):
            self._waiting.setdefault(owner.namespace, {})[key] = None

    def drop(self, key: Key, owner: Subject) -> None:
        """No object names this owner any more."""
        kind = self._kinds.get(key)
        if kind is None:
            return
        kind.users.pop(owner, None)
        if kind.users:
            return
        del self._kinds[key]
        self._stop_waiting(key, owner.namespace)
        self._free_slot(kind)

    def is_served(self, key: Key) -> bool | None:
        """Whether an owner of this kind may be a controller; None: not known yet."""
        kind = self._kinds.get(key)
        if kind is None:
            return not self._verify
        return False if kind.waiting_for_slot else kind.served

    def next_group_version(self, now: SteadyMs) -> tuple[str, str] | None:
        """The group and version whose discovery document to read next."""
        self._promote()
        due: dict[str | None, tuple[SteadyMs, Key]] = {}
        for key, kind in self._kinds.items():
            if not kind.waiting_for_slot and kind.due <= now:
                due[kind.slot_of] = min(due.get(kind.slot_of, (kind.due, key)), (kind.due, key))
        if not due:
            return None
        never_asked = [name for name in due if name not in self._last_asked]
        longest_ago_first = [name for name in self._last_asked if name in due]
        namespace = (never_asked or longest_ago_first)[0]
        self._last_asked.pop(namespace, None)
        self._last_asked[namespace] = None
        if len(self._last_asked) > 1 + len(self._slots_used):
            self._last_asked = {name: None for name in self._last_asked if name is None or name in self._slots_used}
        _, (group, version, _) = due[namespace]
        return group, version

    def record_kinds(self, group: str, version: str, kinds: Collection[str] | None, *, now: SteadyMs) -> list[Subject]:
        """The kinds in the discovery document (None: it could not be read). Returns the owners whose answer has
        changed.
        """
        changed: list[Subject] = []
        for key, kind in self._kinds.items():
            if key[:2] != (group, version) or kind.waiting_for_slot:
                continue
            before = kind.served
            if kinds is None:
                kind.served = True if before is None else before
            else:
                kind.served = key[2] in kinds
            kind.due = now + (RETRY_MS if kinds is None else RECHECK_MS)
            if kinds is not None and kind.served:
                self._free_slot(kind)
            if kind.served != before:
                changed += kind.users
        return changed

    def _admit(self, key: Key, kind: _Kind, namespace: str) -> bool:
        if self._slots_used.get(namespace, 0) >= MAX_UNPROVEN:
            return False
        self._slots_used[namespace] = self._slots_used.get(namespace, 0) + 1
        kind.slot_of, kind.waiting_for_slot = namespace, False
        for waiting_in in {user.namespace for user in kind.users} if self._waiting else ():
            self._stop_waiting(key, waiting_in)
        return True

    def _free_slot(self, kind: _Kind) -> None:
        if kind.slot_of is None:
            return
        self._slots_used[kind.slot_of] -= 1
        if not self._slots_used[kind.slot_of]:
            del self._slots_used[kind.slot_of]
        kind.slot_of = None

    def _promote(self) -> None:
        """Give free slots to waiting kinds, one for each namespace."""
        for namespace in list(self._waiting):
            key = next(iter(self._waiting[namespace]))
            kind = self._kinds.get(key)
            if kind is None or not kind.waiting_for_slot:
                self._stop_waiting(key, namespace)
            else:
                self._admit(key, kind, namespace)

    def _stop_waiting(self, key: Key, namespace: str) -> None:
        waiting = self._waiting.get(namespace)
        if waiting is not None:
            waiting.pop(key, None)
            if not waiting:
                del self._waiting[namespace]
