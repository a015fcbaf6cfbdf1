"""Which of several MonitoredClusters goes on where they have one identity at one hub: the oldest, so that nobody stops
another's cluster by creating one more. Two writers of one identity would archive each other's findings.
"""

from collections import defaultdict
from collections.abc import Iterable

from policyhub.reporter import Watched


def claim(all_: Iterable[Watched], *, listed: bool) -> None:
    """Tell each data plane whether it goes on. `listed`: whether all MonitoredClusters have been listed once; before
    that nobody knows who is the oldest, and none sends.
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
