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
    said: list[Claim]
    """Before roll-up."""
    claims: list[Claim]
    """After roll-up, with the notice about a truncated list."""
    ended: frozenset[str]
    """Ids whose claims have ended although the source object is incomplete."""
    left_out: list[Violation]
    """Filtered out."""
    tells: bool
    """Whether the filter admits the notice."""


def admit(
    reading: ParsedReport,
    *,
    wanted: Filter,
    policies: PolicyMetadata | None,
    rollup: Rollup | None,
    passed: Callable[[], frozenset[Identity]] = frozenset,
) -> Admitted:
    """`passed` returns the source object's pass and skip results."""
    said: list[Claim] = []
    left_out: list[Violation] = []
    for violation, observed in reading.violations:
        rated = wanted.rated(violation if policies is None else policies.enrich(violation))
        if wanted.admits(rated):
            said.append(claim(rated, observed, reading))
        else:
            left_out.append(rated)
    claims, ended = (said, frozenset[str]()) if rollup is None else rollup.take(reading, said, passed)
    tells = wanted.wants_notice(reading)
    if (notice := reading.notice) is not None:
        if tells:
            claims = [*claims, claim(notice, reading.newest, reading)]
        else:
            left_out.append(notice)
    return Admitted(said, claims, ended, left_out, tells)


def claim(violation: Violation, observed: int | None, reading: ParsedReport) -> Claim:
    """The violation, and when it was observed (`observed`: Unix s), or else when its source object was created."""
    second = reading.created if observed is None else observed
    return violation, None if second is None else from_seconds(second)
