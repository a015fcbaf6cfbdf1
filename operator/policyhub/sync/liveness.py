"""Whether one source API is live: listed completely and watched. Each change is reported to `Sources`.

A watch that resumes where it was interrupted has missed nothing, so the start time stays. A new listing
sets a new start time. Pure: no I/O, no clock.
"""

from policyhub.clock import NEVER, SteadyMs
from policyhub.sync.entry import ListingState
from policyhub.sync.evidence import Sources


class Liveness:
    """Of one source API."""

    def __init__(self, source_api: str, sources: Sources) -> None:
        self.live = False
        self._source_api = source_api
        self._sources = sources
        self._since = NEVER
        self._listed = NEVER

    def take(self, *, live: bool, listed: SteadyMs, now: SteadyMs) -> None:
        """`listed` is when the last complete listing ended."""
        if live == self.live:
            return
        self.live = live
        if not live:
            state = ListingState(live=False)
        elif self._since and self._listed == listed:
            state = ListingState(live=True, since=self._since, resumed=now)
        else:
            self._since, self._listed = now, listed
            state = ListingState(live=True, since=now)
        self._sources.set_listing_state(self._source_api, state)
