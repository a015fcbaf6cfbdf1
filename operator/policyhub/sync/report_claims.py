"""Passes the claims of a report or constraint to the ledger: enriched, rated, filtered, rolled up.

No I/O; the clock is an argument.
"""

from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from policyhub.clock import SteadyMs
from policyhub.findings.rollup import rolled_up
from policyhub.model.violation import Identity, ParsedReport, Subject, Violation
from policyhub.sources import reader
from policyhub.sources.filter import Filter
from policyhub.sync.admitted import admit
from policyhub.sync.ledger import Ledger
from policyhub.sync.policy_metadata import PolicyMetadata
from policyhub.sync.refusals import Refusal
from policyhub.sync.rollup import Rollup
from policyhub.sync.usage import Excess


class ReportClaims:
    """The claims of one source API."""

    def __init__(
        self,
        *,
        group: str,
        resource: str,
        ledger: Ledger,
        filter_: Filter,
        now: Callable[[], SteadyMs],
        rollup: Rollup | None,
        policies: PolicyMetadata | None,
    ) -> None:
        self._group = group
        self._resource = resource
        self._ledger = ledger
        self._filter = filter_
        self._now = now
        self._rollup = rollup
        self._policies = policies

    def take(self, parsed: ParsedReport, raw: bytes | msgspec.Raw, refusals: list[Refusal], *, backlog: bool) -> bool:
        """Returns whether anything relevant changed. Adds what exceeds a limit to `refusals`. `backlog`: the claims may
        be old.
        """
        # Results beyond the limit may fail objects that pass in the results that were read.
        passed = frozenset if parsed.over else lambda: reader.passed(self._group, self._resource, raw)
        admitted = admit(
            parsed,
            filter_=self._filter,
            policies=self._policies,
            rollup=self._rollup,
            passed=passed,
            backlog=backlog,
        )
        claims = admitted.claims
        unevaluated = [v for v in admitted.filtered_out if v.result == "error" and self._filter.admits(v, result=False)]

        def add_refusals(excess: Counter[Excess]) -> None:
            taken = len(claims) - excess.total()
            refusals.extend(Refusal(limit, number=taken + number, taken=taken) for limit, number in excess.items())

        return self._ledger.read(
            parsed.key,
            claims,
            ended=admitted.ended,
            complete=parsed.complete,
            passed=frozenset if parsed.over else lambda: self.passed(raw),
            now=self._now(),
            audited=parsed.audited,
            boundary=parsed.boundary,
            backlog=backlog,
            unevaluated=self._identities(unevaluated),  # their findings may still be true
            newest=parsed.newest_by,
            scanned=parsed.scanned,
            ended_notice=lambda: self._ended_notice(parsed, raw, admitted=admitted.notice_admitted),
            on_excess=add_refusals,
        )

    def _ended_notice(self, parsed: ParsedReport, raw: bytes | msgspec.Raw, *, admitted: bool) -> Identity | None:
        """The notice of the object that ends: its list is complete, or the notice is filtered out."""
        if parsed.notice is not None:
            return None if admitted else parsed.notice.identity
        return reader.completed_notice(self._group, self._resource, raw)

    def _identities(self, violations: Iterable[Violation]) -> list[Identity]:
        """The identities of their findings, after roll-up."""
        if self._rollup is None:
            return [violation.identity for violation in violations]
        pairs = ((violation, self._rollup.owners.resolve(violation.subject)) for violation in violations)
        return [rolled_up(violation, subject).identity for violation, subject in pairs if isinstance(subject, Subject)]

    def passed(self, raw: bytes | msgspec.Raw) -> frozenset[Identity]:
        """The report's pass and skip results that are evidence (`Rollup.passed`)."""
        passed = reader.passed(self._group, self._resource, raw)
        return passed if self._rollup is None else self._rollup.passed(passed)
