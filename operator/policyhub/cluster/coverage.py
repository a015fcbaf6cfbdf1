"""Whether every report API has been heard: before, silence about a finding is no evidence. Pure: no I/O, no clock."""

from collections.abc import Collection, Iterable

import msgspec


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """One report API that is or was served."""

    source_api: str
    group: str
    listed: bool
    """Completely, since it is watched."""
    live: bool = False
    """Listed, and watched."""
    vanished: bool = False
    """Not served any more."""
    gone: bool = False
    """Vanished for sure: two discoveries have proven it."""


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """Of all report APIs of a cluster."""

    all_listed: bool
    """Every one that is served; one that vanished is waited for until that is sure."""
    groups: int
    """How many API groups they are of."""
    live: frozenset[str]
    """Origins of those through which an engine can be heard now."""


def coverage(apis: Iterable[Api], *, discovered: bool, unknown: Collection[str]) -> Coverage:
    """`discovered`: whether the API server has told what it serves; `unknown` are report groups of which it did not
    tell.
    """
    apis = tuple(apis)
    heard = {api.group for api in apis if api.listed}
    return Coverage(
        all_listed=discovered and heard.issuperset(unknown) and all(api.listed or api.gone for api in apis),
        groups=len({api.group for api in apis if not api.vanished}),
        live=frozenset(api.source_api for api in apis if api.live),
    )
