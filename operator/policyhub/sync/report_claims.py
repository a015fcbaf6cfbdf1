"""What a report or constraint claims once it was read: enriched, rated, filtered, rolled up; into the ledger.

No I/O; the clock is an argument.
"""

from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from policyhub.clock import SteadyMs
from policyhub.findings.rollup import rolled_up
from policyhub.sources import reader
from policyhub.sources.filter import Filter
from policyhub.sources.violation import Identity, ParsedReport, Subject, Violation
from policyhub.sync.admitted import admit
from policyhub.sync.ledger import Ledger
from policyhub.sync.policy_metadata import PolicyMetadata
from policyhub.sync.refusals import Refusal
from policyhub.sync.rollup import Rollup
from policyhub.sync.usage import Excess


class ReportClaims:
    """Of one source API."""

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
        """Whether anything of meaning changed. What there is no room for joins the `refusals`. `backlog`: it may have
        been there for long.
        """
        # What was not taken may fail what is read as passing.
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
            unevaluated=self._identities(unevaluated),  # they may stand
            newest=reading.newest_by,
            about=reading.about,
            ended_notice=lambda: self._over(reading, raw, told=admitted.tells),
            on_excess=left_out,
        )

    def _over(self, reading: ParsedReport, raw: bytes | msgspec.Raw, *, told: bool) -> Identity | None:
        """The notice of the object that is over: its list is whole, or nobody asks for it."""
        if reading.notice is not None:
            return None if told else reading.notice.identity
        return reader.whole(self._group, self._resource, raw)

    def _identities(self, violations: Iterable[Violation]) -> list[Identity]:
        """Of the findings that these would be."""
        if self._rollup is None:
            return [violation.identity for violation in violations]
        pairs = ((violation, self._rollup.owners.resolve(violation.subject)) for violation in violations)
        return [rolled_up(violation, subject).identity for violation, subject in pairs if isinstance(subject, Subject)]

    def passed(self, raw: bytes | msgspec.Raw) -> frozenset[Identity]:
        """What the report reads as passing, of what it is evidence for."""
        passed = reader.passed(self._group, self._resource, raw)
        return passed if self._rollup is None else self._rollup.passed(passed)
