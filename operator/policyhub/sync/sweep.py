"""Finds deleted objects by a listing: those that were known before it and that it lacks (mark and sweep).

An object that could not be read exists, so it is marked. If not even its name could be read, it may be any known
object, and nothing is swept. Pure: no I/O, no clock.
"""

from collections.abc import Set as AbstractSet

from policyhub.clock import SteadyMs
from policyhub.model.violation import SourceKey
from policyhub.sync.ledger import Ledger
from policyhub.sync.rollup import Rollup


class Sweep:
    """The sweep of one source API."""

    def __init__(self) -> None:
        self._unseen: set[SourceKey] = set()
        """Objects that were known before the current listing, and that it has not contained yet. Only these are kept,
        not all seen objects, most of which have no violation.
        """
        self._unreadable: set[str] = set()
        self._unnamed = False
        """Whether the name of an object could not be read."""

    @property
    def unreadable(self) -> frozenset[str]:
        """Namespaces in which an object could not be read since the last listing began; the empty one: anywhere."""
        return frozenset(self._unreadable)

    def begin(self, observed: set[SourceKey]) -> None:
        self._unseen = observed
        self._unreadable, self._unnamed = set(), False

    def seen(self, key: SourceKey) -> None:
        self._unseen.discard(key)

    def mark_unreadable(self, namespace: str | None) -> None:
        """An object of this namespace could not be read; None: its namespace is unknown."""
        self._unreadable.add(namespace or "")
        self._unnamed |= namespace is None

    def finish(self, observed: AbstractSet[SourceKey]) -> set[SourceKey]:
        """The objects of `observed` that no longer exist."""
        unseen, self._unseen = self._unseen, set()
        return set() if self._unnamed else unseen & observed

    def abort(self) -> None:
        self._unseen = set()


def forget(key: SourceKey, *, ledger: Ledger, rollup: Rollup | None, now: SteadyMs) -> bool:
    """A source object no longer exists; returns whether it claimed anything."""
    ledger.usage.drop(key)
    ledger.refusals.drop(key.source_api, key.namespace, key.name)
    if rollup is not None:
        rollup.forget(key)
    return ledger.forget(key, now=now)
