"""The claims of a source object: its violations, enriched with their policies' texts, filtered and rolled up.

The operator and `policyhub render` both use this function, so they produce the same findings. Pure: no I/O, no clock.
"""

from collections.abc import Callable

import msgspec

from policyhub.clock import from_seconds
from policyhub.model.violation import Identity, ParsedReport, Violation
from policyhub.sources.filter import Filter
from policyhub.sync.policy_metadata import PolicyMetadata
from policyhub.sync.rollup import Rollup
from policyhub.sync.statement import Claim


class Admitted(msgspec.Struct, frozen=True):
    direct: list[Claim]
    """Before roll-up."""
    claims: list[Claim]
    """After roll-up, with the notice about a truncated list."""
    ended: frozenset[str]
    """Ids whose claims have ended although the source object is incomplete."""
    filtered_out: list[Violation]
    """Filtered out."""
    notice_admitted: bool
    """Whether the filter admits the notice."""


def admit(
    parsed: ParsedReport,
    *,
    filter_: Filter,
    policies: PolicyMetadata | None,
    rollup: Rollup | None,
    passed: Callable[[], frozenset[Identity]] = frozenset,
    backlog: bool = False,
) -> Admitted:
    """`passed` returns the source object's pass and skip results. `backlog`: its results may be old."""
    direct: list[Claim] = []
    filtered_out: list[Violation] = []
    for violation, observed in parsed.violations:
        rated = filter_.rated(violation if policies is None else policies.enrich(violation))
        if filter_.admits(rated):
            direct.append(claim(rated, observed, parsed))
        else:
            filtered_out.append(rated)
    claims, ended = direct, frozenset[str]()
    if rollup is not None:
        claims, ended = rollup.take(parsed, direct, passed, backlog=backlog)
    notice_admitted = filter_.admits_notice(parsed)
    if (notice := parsed.notice) is not None:
        if notice_admitted:
            claims = [*claims, claim(notice, parsed.newest, parsed)]
        else:
            filtered_out.append(notice)
    return Admitted(direct, claims, ended, filtered_out, notice_admitted)


def claim(violation: Violation, observed: int | None, parsed: ParsedReport) -> Claim:
    """The violation, and when it was observed (`observed`: Unix s), or else when its source object was created."""
    second = parsed.created if observed is None else observed
    return violation, None if second is None else from_seconds(second)
