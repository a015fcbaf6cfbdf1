"""Which sources a status shows: at most `SOURCES`, those with a problem first.

A cluster with a Gatekeeper policy library has hundreds; readers of `kubectl describe` look for those with a problem.
The message of SourcesComplete counts the others. The metrics include every source. Pure: no I/O, no clock.
"""

import re
from collections.abc import Sequence

from policyhub.cluster.snapshot import SourceSeen

SOURCES = 50
"""The CRD accepts 1,024, so that what an older operator wrote stays valid."""

_RESOURCE = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,315}[a-z0-9])?")


def shown(sources: Sequence[SourceSeen]) -> list[SourceSeen]:
    """Only sources whose name the API server accepts in a status, and each name once: the cluster chooses the names of
    Gatekeeper's kinds.
    """
    found: dict[str, SourceSeen] = {}
    for source in sorted(sources, key=_rank):
        if len(found) < SOURCES and _RESOURCE.fullmatch(source.name):
            found.setdefault(source.name, source)
    return list(found.values())


def left_out(sources: Sequence[SourceSeen]) -> str:
    """How many sources are shown and why, for a message; empty: all are."""
    number = len(shown(sources))
    if number == len(sources):
        return ""
    message = f"; status.sources shows {number:,} of {len(sources):,}, those with a problem first"
    invalid = sum(1 for source in sources if not _RESOURCE.fullmatch(source.name))
    return f"{message}; {invalid:,} with an invalid resource name" if invalid else message


def _rank(source: SourceSeen) -> tuple[int, str]:
    if source.state is None:
        return 2, source.name
    return (1 if source.state.progress else 0), source.name
