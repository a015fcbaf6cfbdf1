"""Input of a cluster that was rejected, truncated or not understood: of which object, and why.

The condition InputAccepted shows it. It is kept by object, so it disappears when the object is corrected or deleted. It
is bounded by namespace, so that bad input of one namespace does not hide that of another.

Pure: no I/O, no clock.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

import msgspec

MAX_PER_NAMESPACE = 200
"""Objects of one namespace whose reasons are kept; beyond it, the number of objects is a lower bound."""
MAX_TOTAL = 20_000
"""Objects of all namespaces of one cluster: a hostile API server can invent any number. Beyond it …"""
MAX_NAMESPACES = 5_000
"""… so many namespaces may still have one object each, so that no namespace hides another."""


class Refusal(msgspec.Struct, frozen=True):
    """One reason, such as `report-results` or `malformed-result`, for one object."""

    reason: str
    number: int = 1
    """Number of results; 1 for the object as a whole."""
    taken: int | None = None
    """For a limit: how many were still taken."""


class NamespaceRefusals(msgspec.Struct, frozen=True):
    """Summary of one namespace."""

    namespace: str
    """Empty: cluster-scoped objects."""
    objects: int
    """A lower bound."""
    reasons: Mapping[str, int]
    source_api: str
    """An example: `policyreports.wgpolicyk8s.io`."""
    name: str
    refusal: Refusal


Object = tuple[str, str]
"""(namespace, name)."""


class Refusals:
    """Of one monitored cluster."""

    def __init__(self) -> None:
        self._by_namespace: defaultdict[str, dict[str, dict[str, tuple[Refusal, ...]]]] = defaultdict(dict)
        """By namespace, origin, name."""
        self._counts: Counter[str] = Counter()
        """Remembered objects by namespace."""
        self._total = 0
        self._stale: dict[str, set[Object]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_namespace)

    def put(self, source_api: str, namespace: str, name: str, refusals: tuple[Refusal, ...]) -> bool:
        """Set what is wrong with an object; empty for nearly all objects, which are accepted. Returns whether it is new
        and kept.
        """
        if source_api in self._stale:
            self._stale[source_api].discard((namespace, name))
        if not refusals:
            if self._by_namespace:
                self.drop(source_api, namespace, name)
            return False
        before = self._by_namespace.get(namespace, {}).get(source_api, {}).get(name)
        if before is None:
            if not self._has_room(namespace):
                return False
            self._counts[namespace] += 1
            self._total += 1
        self._by_namespace[namespace].setdefault(source_api, {})[name] = refusals
        return before != refusals

    def _has_room(self, namespace: str) -> bool:
        """Whether one more object of the namespace can be kept."""
        if self._total < MAX_TOTAL:
            return self._counts[namespace] < MAX_PER_NAMESPACE
        return not self._counts[namespace] and len(self._counts) < MAX_NAMESPACES

    def drop(self, source_api: str, namespace: str, name: str) -> None:
        """The object was deleted or corrected."""
        by_api = self._by_namespace.get(namespace)
        if by_api is None or name not in by_api.get(source_api, ()):
            return
        del by_api[source_api][name]
        self._counts[namespace] -= 1
        self._total -= 1
        if not by_api[source_api]:
            del by_api[source_api]
        if not by_api:
            del self._by_namespace[namespace], self._counts[namespace]

    def begin(self, source_api: str) -> None:
        """A listing of this API begins: `finish` drops the objects that it did not return."""
        self._stale[source_api] = {
            (namespace, name) for namespace, by_api in self._by_namespace.items() for name in by_api.get(source_api, ())
        }

    def finish(self, source_api: str) -> None:
        for namespace, name in self._stale.pop(source_api, ()):
            self.drop(source_api, namespace, name)

    def abort(self, source_api: str) -> None:
        self._stale.pop(source_api, None)

    def left_out(self) -> Counter[str]:
        """Results that were left out, by limit; for other reasons, objects."""
        number: Counter[str] = Counter()
        for by_api in self._by_namespace.values():
            for names in by_api.values():
                for refusal in (refusal for refusals in names.values() for refusal in refusals):
                    number[refusal.reason] += 1 if refusal.taken is None else refusal.number - refusal.taken
        return number

    def summary(self) -> Iterator[NamespaceRefusals]:
        """By namespace."""
        for namespace, by_api in sorted(self._by_namespace.items()):
            reasons: Counter[str] = Counter()
            for names in by_api.values():
                for refusals in names.values():
                    for refusal in refusals:
                        reasons[refusal.reason] += refusal.number
            source_api, names = min(by_api.items())
            name, refusals = min(names.items())
            yield NamespaceRefusals(
                namespace=namespace,
                objects=self._counts[namespace],
                reasons=reasons,
                source_api=source_api,
                name=name,
                refusal=refusals[0],
            )
