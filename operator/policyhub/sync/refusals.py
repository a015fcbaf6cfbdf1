"""What of a cluster's input was refused, cut or not understood: whose it is, and what about it.

Shown by the condition InputAccepted. Kept by object, so that it goes when the object is put right or deleted; bounded
by namespace, so that nobody's rubbish hides another's.

Pure: no I/O, no clock.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

import msgspec

REMEMBERED = 200
"""Objects of one namespace of which it is told what is wrong; of more, how many there are at least."""
IN_SUM = 20_000
"""Objects of one cluster, of all namespaces: a hostile API server makes up as many as it likes. Beyond it …"""
EACH_ONE = 5_000
"""… so many namespaces have still one each, so that no namespace hides another."""


class Refusal(msgspec.Struct, frozen=True):
    """One reason, such as `report-results` or `malformed-result`, for one object."""

    reason: str
    number: int = 1
    """Of results, or 1 for the object as a whole."""
    taken: int | None = None
    """Of a limit: how many were taken all the same."""


class Refused(msgspec.Struct, frozen=True):
    """One namespace, in sum."""

    namespace: str
    """Empty: objects outside of namespaces."""
    objects: int
    """At least."""
    reasons: Mapping[str, int]
    origin: str
    """An example: `policyreports.wgpolicyk8s.io`."""
    name: str
    refusal: Refusal


Object = tuple[str, str]
"""(namespace, name)."""


class Refusals:
    """Of one monitored cluster."""

    def __init__(self) -> None:
        self._of: defaultdict[str, dict[str, dict[str, tuple[Refusal, ...]]]] = defaultdict(dict)
        """By namespace, origin, name."""
        self._numbers: Counter[str] = Counter()
        """Remembered objects by namespace."""
        self._sum = 0
        self._stale: dict[str, set[Object]] = {}

    def __bool__(self) -> bool:
        return bool(self._of)

    def put(self, origin: str, namespace: str, name: str, refusals: tuple[Refusal, ...]) -> bool:
        """What is wrong with an object now; nothing, as for nearly all, where it was read whole. Whether that is news
        and is remembered.
        """
        if origin in self._stale:
            self._stale[origin].discard((namespace, name))
        if not refusals:
            if self._of:
                self.drop(origin, namespace, name)
            return False
        before = self._of.get(namespace, {}).get(origin, {}).get(name)
        if before is None:
            if not self._room(namespace):
                return False
            self._numbers[namespace] += 1
            self._sum += 1
        self._of[namespace].setdefault(origin, {})[name] = refusals
        return before != refusals

    def _room(self, namespace: str) -> bool:
        """For one more object."""
        if self._sum < IN_SUM:
            return self._numbers[namespace] < REMEMBERED
        return not self._numbers[namespace] and len(self._numbers) < EACH_ONE

    def drop(self, origin: str, namespace: str, name: str) -> None:
        """The object is gone, or put right."""
        origins = self._of.get(namespace)
        if origins is None or name not in origins.get(origin, ()):
            return
        del origins[origin][name]
        self._numbers[namespace] -= 1
        self._sum -= 1
        if not origins[origin]:
            del origins[origin]
        if not origins:
            del self._of[namespace], self._numbers[namespace]

    def begin(self, origin: str) -> None:
        """A listing of this API begins: what it does not bring is gone at its `finish`."""
        self._stale[origin] = {
            (namespace, name) for namespace, origins in self._of.items() for name in origins.get(origin, ())
        }

    def finish(self, origin: str) -> None:
        for namespace, name in self._stale.pop(origin, ()):
            self.drop(origin, namespace, name)

    def abort(self, origin: str) -> None:
        self._stale.pop(origin, None)

    def left_out(self) -> Counter[str]:
        """How many results were not taken, by the limit that was reached; objects, for other reasons."""
        number: Counter[str] = Counter()
        for origins in self._of.values():
            for names in origins.values():
                for refusal in (refusal for refusals in names.values() for refusal in refusals):
                    number[refusal.reason] += 1 if refusal.taken is None else refusal.number - refusal.taken
        return number

    def summary(self) -> Iterator[Refused]:
        """By namespace."""
        for namespace, origins in sorted(self._of.items()):
            reasons: Counter[str] = Counter()
            for names in origins.values():
                for refusals in names.values():
                    for refusal in refusals:
                        reasons[refusal.reason] += refusal.number
            origin, names = min(origins.items())
            name, refusals = min(names.items())
            yield Refused(
                namespace=namespace,
                objects=self._numbers[namespace],
                reasons=reasons,
                origin=origin,
                name=name,
                refusal=refusals[0],
            )
