"""If several MonitoredClusters have the same identity and hub, only the oldest one sends findings.

Two writers would archive each other's findings. The oldest one sends, so that nobody can stop another cluster by
creating a MonitoredCluster.
"""

from collections import defaultdict
from collections.abc import Iterable

from policyhub.control.reporter import Watched


def claim(all_: Iterable[Watched], *, listed: bool) -> None:
    """Set for each data plane whether it may send. `listed`: all MonitoredClusters have been listed once; before, the
    oldest one is not known, and none may send.
    """
    claims: defaultdict[tuple[str, str, str], list[Watched]] = defaultdict(list)
    for watched in all_:
        if watched.plane is not None:
            claims[watched.claim].append(watched)
    for rivals in claims.values():
        first, *others = sorted(rivals, key=lambda watched: watched.age)
        for watched in rivals:
            if watched.plane is not None:
                oldest = watched is first
                watched.plane.claim(
                    older="" if oldest else first.name,
                    younger=tuple(other.name for other in others) if oldest else (),
                    unlisted=not listed,
                )
