"""The claims of one finding and their representative, at a cost that does not grow with their number.

Most findings have one or two claims, which a tuple holds. A workload with thousands of Pods may have thousands: then
equal claims are stored once, with the representative. Pure: no I/O, no clock.
"""

from collections.abc import Iterator

from policyhub.findings.representative import representative
from policyhub.model.violation import SourceKey, Violation

SourceClaim = tuple[SourceKey, Violation]

_FEW = 8


class ManyClaims:
    """For more than a few claims."""

    __slots__ = ("_by_key", "_counts_by_text", "_representative")

    def __init__(self, claims: "Claims") -> None:
        self._by_key: dict[SourceKey, Violation] = {}
        self._counts_by_text: dict[Violation, dict[str, int]] = {}
        """Distinct claims → number of claimants by source API."""
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
        by_api = self._counts_by_text.setdefault(violation, {})
        by_api[key.source_api] = by_api.get(key.source_api, 0) + 1
        if self._representative is not None or len(self._counts_by_text) == 1:
            self._representative = representative(
                [violation] if self._representative is None else [self._representative, violation]
            )

    def drop(self, key: SourceKey) -> None:
        violation = self._by_key.pop(key, None)
        if violation is None:
            return
        by_api = self._counts_by_text[violation]
        by_api[key.source_api] -= 1
        if not by_api[key.source_api]:
            del by_api[key.source_api]
        if not by_api:
            del self._counts_by_text[violation]
            if violation == self._representative:
                self._representative = None

    def representative(self) -> tuple[Violation, str]:
        if self._representative is None:
            self._representative = representative(self._counts_by_text)
        return self._representative, min(self._counts_by_text[self._representative])


Claims = tuple[SourceClaim, ...] | ManyClaims


def claim_of(claims: Claims, key: SourceKey) -> Violation | None:
    """The claim of this source object."""
    if isinstance(claims, ManyClaims):
        return claims.get(key)
    return next((violation for claimant, violation in claims if claimant == key), None)


def including(claims: Claims, key: SourceKey, violation: Violation) -> Claims:
    """Add or replace the claim of this source object. Do not use the `claims` argument afterwards."""
    if not isinstance(claims, ManyClaims):
        if len(claims) < _FEW:
            return (*(claim for claim in claims if claim[0] != key), (key, violation))
        claims = ManyClaims(claims)
    claims.put(key, violation)
    return claims


def excluding(claims: Claims, key: SourceKey) -> Claims:
    """Remove the claim of this source object. Do not use the `claims` argument afterwards."""
    if not isinstance(claims, ManyClaims):
        return tuple(claim for claim in claims if claim[0] != key)
    claims.drop(key)
    return claims if len(claims) > _FEW // 2 else tuple(claims)


def representative_of(claims: Claims) -> tuple[Violation, str]:
    """The representative claim, and the first source API that reports the same. Raises ValueError without claims."""
    if isinstance(claims, ManyClaims):
        return claims.representative()
    violation = claims[0][1] if len(claims) == 1 else representative(violation for _, violation in claims)
    return violation, min(key.source_api for key, text in claims if text == violation)
