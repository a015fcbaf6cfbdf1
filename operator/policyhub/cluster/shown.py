"""Which sources a status shows: those that are not well first, and at most `SOURCES` of them.

A cluster with a library of Gatekeeper has hundreds; whoever reads `kubectl describe` looks for the ones that are wrong.
What is left out is counted in the message of SourcesComplete. The metrics have every source. Pure: no I/O, no clock.
"""

import re
from collections.abc import Sequence

from policyhub.cluster.snapshot import SourceSeen

SOURCES = 50
"""The CRD takes 1,024: what an older operator wrote stays valid."""

_RESOURCE = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,315}[a-z0-9])?")


def shown(sources: Sequence[SourceSeen]) -> list[SourceSeen]:
    """Those that the API server would take, one of a name: Gatekeeper's kinds are named as the cluster pleases."""
    found: dict[str, SourceSeen] = {}
    for source in sorted(sources, key=_rank):
        if len(found) < SOURCES and _RESOURCE.fullmatch(source.name):
            found.setdefault(source.name, source)
    return list(found.values())


def left_out(sources: Sequence[SourceSeen]) -> str:
    """How many are shown of how many, and why; empty where all are."""
    number = len(shown(sources))
    if number == len(sources):
        return ""
    told = f"; status.sources shows {number:,} of {len(sources):,}, those that are not well first"
    odd = sum(1 for source in sources if not _RESOURCE.fullmatch(source.name))
    return f"{told}; {odd:,} named as no Kubernetes resource is" if odd else told


def _rank(source: SourceSeen) -> tuple[int, str]:
    if source.state is None:
        return 2, source.name
    return (1 if source.state.progress else 0), source.name
