"""Injected faults: which call gets which fault.

| kind | effect |
|---|---|
| throttle | 429 TooManyRequestsException |
| error500 | 500 InternalException, nothing written |
| access_denied | 403 AccessDeniedException |
| expired | 403 ExpiredTokenException (STS: ExpiredToken), as with credentials that have ended |
| region_off | 403 UnrecognizedClientException, as in a Region that the account has not enabled |
| timeout_before | no answer, nothing written; the connection ends after `delay_seconds` |
| timeout_after | no answer, but everything is written |
| partial | BatchImportFindings: a share of the findings fails with InternalFailure |
| lag | GetFindings returns the state `delay_seconds` ago, but none from before the fault was added |
"""

import random
from collections import Counter
from typing import Literal

import msgspec

Kind = Literal[
    "throttle",
    "error500",
    "access_denied",
    "expired",
    "region_off",
    "timeout_before",
    "timeout_after",
    "partial",
    "lag",
]
TOKEN_REFUSALS = {
    "expired": ("ExpiredTokenException", "The security token included in the request is expired"),
    "region_off": ("UnrecognizedClientException", "The security token included in the request is invalid."),
}
"""Kind → code and message of a 403."""


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """One rule. Without `count`, it applies until it is removed."""

    kind: Kind
    operation: str = "*"
    count: int | None = None
    """Number of calls that it hits before it is removed."""
    probability: float = 1.0
    seed: int = 0
    delay_seconds: float = 300.0
    share: float = 0.5
    """Share of a call's findings that fail, for `partial`; at least one fails."""
    account: str | None = None
    region: str | None = None


class Faults:
    """Rules in the order in which they were added. The first that matches and fires decides."""

    def __init__(self) -> None:
        self._rules: dict[int, tuple[Fault, random.Random, float]] = {}
        self._last = 0
        self._hits: Counter[int] = Counter()

    def add(self, fault: Fault, *, now: float) -> int:
        self._last += 1
        self._rules[self._last] = (fault, random.Random(fault.seed), now)  # noqa: S311 - repeatable tests, no secret
        return self._last

    def remove(self, number: int) -> bool:
        return self._rules.pop(number, None) is not None

    def hits(self, number: int) -> int:
        """Number of calls that a rule has hit, even after it is removed."""
        return self._hits[number]

    def clear(self) -> None:
        self._rules.clear()
        self._hits.clear()

    def listed(self) -> list[dict[str, object]]:
        return [{"id": number, **msgspec.to_builtins(fault)} for number, (fault, _, _) in self._rules.items()]

    def lagging(self) -> bool:
        return any(fault.kind == "lag" for fault, _, _ in self._rules.values())

    def take(self, operation: str, account: str, region: str) -> Fault | None:
        """The fault of this call; decrements the rule's `count`."""
        for number, (fault, chance, _) in list(self._rules.items()):
            if fault.kind == "lag" or not _fits(fault, operation, account, region):
                continue
            if fault.kind == "partial" and operation != "BatchImportFindings":
                continue
            if chance.random() >= fault.probability:
                continue
            self._hits[number] += 1
            if fault.count is not None:
                fault.count -= 1
                if fault.count <= 0:
                    del self._rules[number]
            return fault
        return None

    def moment(self, operation: str, account: str, region: str, *, now: float) -> float | None:
        """The time whose state a reading call gets; None: now."""
        for number, (fault, _, added) in self._rules.items():
            if fault.kind == "lag" and _fits(fault, operation, account, region):
                self._hits[number] += 1
                return max(now - fault.delay_seconds, added)
        return None


def _fits(fault: Fault, operation: str, account: str, region: str) -> bool:
    return fault.operation in {"*", operation} and fault.account in {None, account} and fault.region in {None, region}


class Breaker:
    """Decides for each finding of a call in turn whether it fails: the seeded share, and at least the first."""

    def __init__(self, fault: Fault | None) -> None:
        self._fault = fault
        self._chance = random.Random(fault.seed) if fault else None  # noqa: S311 - repeatable tests, no secret
        self._hit = False

    def __call__(self) -> bool:
        if self._fault is None or self._chance is None or self._fault.kind != "partial":
            return False
        broken = self._chance.random() < self._fault.share or not self._hit
        self._hit = True
        return broken
