"""Whether every report API has been listed. Before that, a missing finding is no evidence. Pure: no I/O, no clock."""

from collections.abc import Collection, Iterable

import msgspec


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """One report API that is or was served."""

    source_api: str
    group: str
    listed: bool
    """Whether there was a complete listing since its watch began."""
    live: bool = False
    """Whether it is listed completely and watched now."""
    vanished: bool = False
    """Whether it is no longer served."""
    gone: bool = False
    """Whether two discoveries have confirmed that it is no longer served."""


class ReportApis(msgspec.Struct, frozen=True, kw_only=True):
    """All report APIs of a cluster."""

    all_listed: bool
    """Whether every served one is listed. One that vanished is waited for until that is confirmed (`Api.gone`)."""
    groups: int
    """The number of their API groups."""
    live: frozenset[str]
    """Those that are live: the reports of an engine arrive only through these."""


def report_apis(apis: Iterable[Api], *, discovered: bool, unknown: Collection[str]) -> ReportApis:
    """`discovered`: whether a discovery has succeeded; `unknown`: report groups for which it could not find out what is
    served.
    """
    apis = tuple(apis)
    listed_groups = {api.group for api in apis if api.listed}
    return ReportApis(
        all_listed=discovered and listed_groups.issuperset(unknown) and all(api.listed or api.gone for api in apis),
        groups=len({api.group for api in apis if not api.vanished}),
        live=frozenset(api.source_api for api in apis if api.live),
    )
