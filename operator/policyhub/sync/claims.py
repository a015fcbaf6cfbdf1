"""Who calls for one finding, and who of them speaks, at a cost that does not grow with their number.

Mostly they are one or two, and a tuple holds them. The finding of a workload with thousands of Pods has as many; then
what they say is kept once for all that say the same, with who speaks. Pure: no I/O, no clock.
"""

from collections.abc import Iterator

from policyhub.findings.voice import speaker
from policyhub.sources.violation import SourceKey, Violation

Claim = tuple[SourceKey, Violation]

_FEW = 8


class Many:
    """More than a few."""

    __slots__ = ("_by_key", "_speaks", "_texts")

    def __init__(self, claims: "Claims") -> None:
        self._by_key: dict[SourceKey, Violation] = {}
        self._texts: dict[Violation, dict[str, int]] = {}
        """What is said, by how many of each source API."""
        self._speaks: Violation | None = None
        for key, violation in claims:
            self.put(key, violation)

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Claim]:
        return iter(self._by_key.items())

    def __getitem__(self, index: int) -> Claim:
        return list(self._by_key.items())[index]

    def get(self, key: SourceKey) -> Violation | None:
        return self._by_key.get(key)

    def put(self, key: SourceKey, violation: Violation) -> None:
        self.drop(key)
        self._by_key[key] = violation
        origins = self._texts.setdefault(violation, {})
        origins[key.origin] = origins.get(key.origin, 0) + 1
        if self._speaks is not None or len(self._texts) == 1:
            self._speaks = speaker([violation] if self._speaks is None else [self._speaks, violation])

    def drop(self, key: SourceKey) -> None:
        violation = self._by_key.pop(key, None)
        if violation is None:
            return
        origins = self._texts[violation]
        origins[key.origin] -= 1
        if not origins[key.origin]:
            del origins[key.origin]
        if not origins:
            del self._texts[violation]
            if violation == self._speaks:
                self._speaks = None

    def speaks(self) -> tuple[Violation, str]:
        if self._speaks is None:
            self._speaks = speaker(self._texts)
        return self._speaks, min(self._texts[self._speaks])


Claims = tuple[Claim, ...] | Many


def said(claims: Claims, key: SourceKey) -> Violation | None:
    """What this source object says."""
    if isinstance(claims, Many):
        return claims.get(key)
    return next((violation for caller, violation in claims if caller == key), None)


def including(claims: Claims, key: SourceKey, violation: Violation) -> Claims:
    """With this one, instead of what the source object said before. What was given is used up."""
    if not isinstance(claims, Many):
        if len(claims) < _FEW:
            return (*(claim for claim in claims if claim[0] != key), (key, violation))
        claims = Many(claims)
    claims.put(key, violation)
    return claims


def excluding(claims: Claims, key: SourceKey) -> Claims:
    """Without that of this source object. What was given is used up."""
    if not isinstance(claims, Many):
        return tuple(claim for claim in claims if claim[0] != key)
    claims.drop(key)
    return claims if len(claims) > _FEW // 2 else tuple(claims)


def spoken(claims: Claims) -> tuple[Violation, str]:
    """Who speaks, and the first of the source APIs that say the same. Raises ValueError where nobody calls."""
    if isinstance(claims, Many):
        return claims.speaks()
    violation = claims[0][1] if len(claims) == 1 else speaker(violation for _, violation in claims)
    return violation, min(key.origin for key, text in claims if text == violation)
