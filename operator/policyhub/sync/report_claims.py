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
        wanted: Filter,
        now: Callable[[], SteadyMs],
        rollup: Rollup | None,
        policies: PolicyMetadata | None,
    ) -> None:
        self._group = group
        self._resource = resource
        self._ledger = ledger
        self._wanted = wanted
        self._now = now
        self._rollup = rollup
        self._policies = policies

    def take(self, reading: ParsedReport, raw: bytes | msgspec.Raw, refusals: list[Refusal], *, backlog: bool) -> bool:
        """Returns whether anything relevant changed. Adds what exceeds a limit to `refusals`. `backlog`: the claims may
        be old.
        """
        # Results beyond the limit may fail objects that pass in the results that were read.
        passed = frozenset if reading.over else lambda: reader.passed(self._group, self._resource, raw)
        admitted = admit(reading, wanted=self._wanted, policies=self._policies, rollup=self._rollup, passed=passed)
        claims = admitted.claims
        unevaluated = [v for v in admitted.left_out if v.result == "error" and self._wanted.admits(v, result=False)]

        def left_out(excess: Counter[Excess]) -> None:
            taken = len(claims) - excess.total()
            refusals.extend(Refusal(limit, number=taken + number, taken=taken) for limit, number in excess.items())

        return self._ledger.read(
            reading.key,
            claims,
            ended=admitted.ended,
            complete=reading.complete,
            passed=frozenset if reading.over else lambda: self.passed(raw),
            now=self._now(),
            audited=reading.audited,
            boundary=reading.boundary,
            backlog=backlog,
            unevaluated=self._identities(unevaluated),  # their findings may still be true
            newest=reading.newest_by,
            about=reading.about,
            ended_notice=lambda: self._over(reading, raw, told=admitted.tells),
            on_excess=left_out,
        )

    def _over(self, reading: ParsedReport, raw: bytes | msgspec.Raw, *, told: bool) -> Identity | None:
        """The notice of the object that ends: its list is complete, or the notice is filtered out."""
        if reading.notice is not None:
            return None if told else reading.notice.identity
        return reader.whole(self._group, self._resource, raw)

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
