"""Who calls for one finding, and who of them speaks, at a cost that does not grow with their number.

Mostly they are one or two, and a tuple holds them. The finding of a workload with thousands of Pods has as many; then
what they say is kept once for all that say the same, with who speaks. Pure: no I/O, no clock.
"""

from collections.abc import Iterator

from policyhub.findings.representative import representative
from policyhub.sources.violation import SourceKey, Violation

SourceClaim = tuple[SourceKey, Violation]

_FEW = 8


class ManyClaims:
    """More than a few."""

    __slots__ = ("_by_key", "_representative", "_texts")

    def __init__(self, claims: "Claims") -> None:
        self._by_key: dict[SourceKey, Violation] = {}
        self._texts: dict[Violation, dict[str, int]] = {}
        """What is said, by how many of each source API."""
        self._representative: Violation | None = None
        for key, violation in claims:
            self.put(key, violation)

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[SourceClaim]:
        return iter(self._by_key.items())

    def __getitem__(self, index: int) -> SourceClaim:
        return list(self._by_key.items())[index]

    def get(self, key: SourceKey) -> Violation | None:
        return self._by_key.get(key)

    def put(self, key: SourceKey, violation: Violation) -> None:
        self.drop(key)
        self._by_key[key] = violation
        origins = self._texts.setdefault(violation, {})
        origins[key.source_api] = origins.get(key.source_api, 0) + 1
        if self._representative is not None or len(self._texts) == 1:
            self._representative = representative(
                [violation] if self._representative is None else [self._representative, violation]
            )

    def drop(self, key: SourceKey) -> None:
        violation = self._by_key.pop(key, None)
        if violation is None:
            return
        origins = self._texts[violation]
        origins[key.source_api] -= 1
        if not origins[key.source_api]:
            del origins[key.source_api]
        if not origins:
            del self._texts[violation]
            if violation == self._representative:
                self._representative = None

    def representative(self) -> tuple[Violation, str]:
        if self._representative is None:
            self._representative = representative(self._texts)
        return self._representative, min(self._texts[self._representative])


Claims = tuple[SourceClaim, ...] | ManyClaims


def claim_of(claims: Claims, key: SourceKey) -> Violation | None:
    """What this source object says."""
    if isinstance(claims, ManyClaims):
        return claims.get(key)
    return next((violation for claimant, violation in claims if claimant == key), None)


def including(claims: Claims, key: SourceKey, violation: Violation) -> Claims:
    """With this one, instead of what the source object said before. What was given is used up."""
    if not isinstance(claims, ManyClaims):
        if len(claims) < _FEW:
            return (*(claim for claim in claims if claim[0] != key), (key, violation))
        claims = ManyClaims(claims)
    claims.put(key, violation)
    return claims


def excluding(claims: Claims, key: SourceKey) -> Claims:
    """Without that of this source object. What was given is used up."""
    if not isinstance(claims, ManyClaims):
        return tuple(claim for claim in claims if claim[0] != key)
    claims.drop(key)
    return claims if len(claims) > _FEW // 2 else tuple(claims)


def representative_of(claims: Claims) -> tuple[Violation, str]:
    """Who speaks, and the first of the source APIs that say the same. Raises ValueError where nobody calls."""
    if isinstance(claims, ManyClaims):
        return claims.representative()
    violation = claims[0][1] if len(claims) == 1 else representative(violation for _, violation in claims)
    return violation, min(key.source_api for key, text in claims if text == violation)
