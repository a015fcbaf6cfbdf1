"""What a listing shows to be gone: of the objects known before it, those that it did not bring (mark and sweep).

An object that could not be read is there all the same, so it is marked. Where not even its name could be read it may be
any that was known, and nothing is swept. Pure: no I/O, no clock.
"""

from collections.abc import Set as AbstractSet

from policyhub.clock import SteadyMs
from policyhub.sources.violation import SourceKey
from policyhub.sync.ledger import Ledger
from policyhub.sync.rollup import Rollup


class Sweep:
    """Of one source API."""

    def __init__(self) -> None:
        self._unseen: set[SourceKey] = set()
        """Objects that were known before the listing under way, and that it has not brought yet. Those that are to be
        swept, not all that were seen: objects without a violation are not remembered.
        """
        self._unreadable: set[str] = set()
        self._unnamed = False
        """Whether one that could not be read was not even named."""

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
        """An object of this namespace could not be read; None: nobody knows of which."""
        self._unreadable.add(namespace or "")
        self._unnamed |= namespace is None

    def finish(self, observed: AbstractSet[SourceKey]) -> set[SourceKey]:
        """What of the `observed` no longer exists."""
        unseen, self._unseen = self._unseen, set()
        return set() if self._unnamed else unseen & observed

    def abort(self) -> None:
        self._unseen = set()


def forget(key: SourceKey, *, ledger: Ledger, rollup: Rollup | None, now: SteadyMs) -> bool:
    """A source object no longer exists; says whether it called for anything."""
    ledger.usage.drop(key)
    ledger.refusals.drop(key.source_api, key.namespace, key.name)
    if rollup is not None:
        rollup.forget(key)
    return ledger.forget(key, now=now)
