"""Owners of which nothing is left: they had Pods, ReplicaSets or Jobs, and all of these are gone.

Pure: no I/O, no clock; times are Unix milliseconds.
"""

from typing import Final

from policyhub.sources.violation import Subject

KEPT_MS: Final = 86_400_000
EACH: Final = 2_000
"""Of one namespace; the oldest are forgotten, and wait for other evidence."""


class Extinct:
    """Of one cluster."""

    def __init__(self) -> None:
        self._since: dict[str, dict[Subject, int]] = {}
        """By namespace, the oldest first."""

    def __contains__(self, owner: Subject) -> bool:
        return owner in self._since.get(owner.namespace, ())

    def add(self, owner: Subject, *, now: int) -> None:
        extinct = self._since.setdefault(owner.namespace, {})
        extinct.pop(owner, None)
        extinct[owner] = now
        if len(extinct) > EACH:
            del extinct[next(iter(extinct))]

    def revive(self, owner: Subject) -> None:
        """It has something again."""
        extinct = self._since.get(owner.namespace)
        if extinct is not None:
            extinct.pop(owner, None)

    def forget(self, *, now: int) -> None:
        """Those that have been for long."""
        for namespace, extinct in list(self._since.items()):
            left = self._since[namespace] = {of: at for of, at in extinct.items() if at > now - KEPT_MS}
            if not left:
                del self._since[namespace]
