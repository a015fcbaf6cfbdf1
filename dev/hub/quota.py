"""Quotas per account, Region and operation: token buckets; the caller passes a monotonic time. Pure."""

import msgspec

RATES: dict[str, tuple[float, float]] = {
    "BatchImportFindings": (10, 30),
    "BatchUpdateFindings": (10, 30),
    "GetFindings": (3, 6),
}
OTHER: tuple[float, float] = (10, 30)
"""All other operations: requests per second, burst."""


class _Bucket(msgspec.Struct):
    tokens: float
    at: float


class Quotas:
    """Limits requests per second with a burst, as the service documents."""

    def __init__(self, *, on: bool = True) -> None:
        self.on = on
        self._buckets: dict[tuple[str, str, str], _Bucket] = {}

    def take(self, account: str, region: str, operation: str, *, now: float) -> bool:
        """False if the call is over quota. A rejected call takes no token."""
        if not self.on:
            return True
        rate, burst = RATES.get(operation, OTHER)
        bucket = self._buckets.get((account, region, operation))
        if bucket is None:
            bucket = self._buckets[(account, region, operation)] = _Bucket(burst, now)
        bucket.tokens = min(burst, bucket.tokens + (now - bucket.at) * rate)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def reset(self) -> None:
        self._buckets.clear()
