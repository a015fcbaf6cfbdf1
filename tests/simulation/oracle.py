"""Checks each import, and the state at regular times, against the true state of the cluster. It shares no code with the
operator.

| promise    | broken when                                                                                             |
|------------|---------------------------------------------------------------------------------------------------------|
| wrong      | archived, although the violation exists, and has for longer than changes take to arrive                 |
| lost       | it exists, its engine reports it, there was no fault for an hour, and it has no active finding          |
| false      | a finding becomes active although the violation does not exist and no live report states it             |
| needless   | sent although only times differ from the stored finding                                                 |
| restless   | sent with changed text although nothing happened that its text could describe                           |
| endless    | the violation ended days ago, there were no faults, the finding is active, no condition explains it     |
| born       | a finding is created ARCHIVED                                                                           |
| moved      | CreatedAt differs from the stored one                                                                   |
| triage     | an import contains an attribute of the customer, or a value that a customer set has changed             |
| crashed    | a loop of the operator ended                                                                            |

Allowances, all of them:

* wrong: a change arrives within NEWS_SECONDS, or LATE_SECONDS while watches are silent or late. A violation may end and
  come back; if its engine reported the end in between, nobody can know of the return until the engine scans again. An
  engine that writes failures only and cannot evaluate a policy is as silent as for a clean object. While the API server
  is unreachable, the operator cannot know that another cluster answers.
* false: its end could not be known, for the same reason; Pods, ReplicaSets and Jobs are not rolled up while the
  operator has been refused to list them for 15 seconds (documented).
* born: Security Hub was emptied while it was unreachable, and has not answered since that it was not enabled.
* needless: the last import of the finding got no answer or was rejected by id; GetFindings was refused or down for
  15 minutes (documented); it is a refresh: by the operator's own clock the stored one is 24 days old, and it
  was not sent within a day.
* moved: as the second of these, if the engine started to report it after the operator's start (documented).
* restless: something happened to the object, its reports or its policy since the last import, or within two hours
  (a changed text may wait for the archive delay, a policy for the next list). The notice of a truncated list changes
  only if one of its numbers has doubled or halved since it was last sent.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from dev.company.truth import violation_in
from tests.simulation.hub import TIMES, Hub, Import, seconds_of
from tests.simulation.kinds import Document
from tests.simulation.rules import Violation
from tests.simulation.truth import Truth

PROMISES = ("wrong", "lost", "false", "needless", "restless", "endless", "born", "moved", "triage", "crashed")
NEWS_SECONDS, LATE_SECONDS = 120.0, 1_500.0
SLOW_NEWS = frozenset({"stall", "late", "slow", "timeout"})
CALM_SECONDS = 3_600.0
FLIGHT_SECONDS, DELAYED_SECONDS = 5.0, 7_200.0
ENDLESS_SECONDS = 0.6 * 86_400.0
REFRESH_SECONDS = 24 * 86_400.0
DAY_SECONDS = 86_400.0
UNAVAILABLE_SECONDS = 900.0
OWNED = frozenset({"Pod", "ReplicaSet", "Job"})
CUSTOMERS = ("Workflow", "Note", "UserDefinedFields", "VerificationState", "Severity", "Types", "Confidence")
EXCUSES = frozenset({"OwnersKnown", "Connected", "HubReachable", "IdentityConflict"})
"""Conditions that explain why a finding stays active …"""
UNREPORTED_EXCUSES = frozenset({"ArchiveHeld", "SourcesComplete"})
"""… and those that do so only until the engine has reported that the violation is gone: that needs no other source and
no person.
"""


@dataclass(frozen=True)
class Broken:
    at: float
    promise: str
    what: str

    def __str__(self) -> str:
        return f"{when(self.at)} {self.promise}: {self.what}"


@dataclass
class Circumstances:
    """What the oracle knows about the operator and the injected faults."""

    wall: Callable[[], float]
    """Unix seconds by the operator's clock."""
    calm_since: Callable[[], float]
    """The end of the last fault, restart or stop of an engine; later than now while one lasts."""
    slow_news: Callable[[], bool]
    unreadable: Callable[[], bool]
    """Whether GetFindings has been refused for UNAVAILABLE_SECONDS within the last hour."""
    conditions: Callable[[], dict[str, str]]
    started: Callable[[], float] = lambda: 0.0
    """When the operator was started."""
    unreachable_since: Callable[[], float | None] = lambda: None
    """Since when the API server is unreachable; None: it is reachable."""
    owners_refused: Callable[[], bool] = lambda: False
    """Whether listing Pods, ReplicaSets or Jobs has been refused for as long as the operator waits to accept that."""
    unevaluated: Callable[[Violation], bool] = lambda _violation: False
    """Whether a live report states that the violation cannot be evaluated."""
    foreign: frozenset[str] = frozenset()
    """Namespaces whose users forge reports."""


@dataclass
class Oracle:
    truth: Truth
    hub: Hub
    circumstances: Circumstances
    broken: list[Broken] = field(default_factory=list)
    allowed: Counter[str] = field(default_factory=Counter)
    replaced: bool = False
    """Another cluster answers: nothing may be sent."""
    _last: dict[str, Import] = field(default_factory=dict)
    _uncertain: dict[str, str] = field(default_factory=dict)
    _open: set[tuple[str, str]] = field(default_factory=set)
    _last_claim: dict[Violation, float] = field(default_factory=dict)

    # -- each import ----------------------------------------------------------------------------------------------

    def judge(self, one: Import) -> None:
        self.truth.update()
        violation = violation_of(one.body)
        before, self._last[one.id] = self._last.get(one.id), one
        uncertain = self._uncertain.pop(one.id, "")
        if not one.answered:
            self._uncertain[one.id] = "no answer"
        elif one.outcome == "failed":
            self._uncertain[one.id] = "failed by name"
        if any(name in one.body for name in CUSTOMERS):
            self._note(one.at, "triage", f"{violation}: {[name for name in CUSTOMERS if name in one.body]} sent")
        if one.outcome == "failed" or violation.namespace in self.circumstances.foreign:
            return
        if self.replaced and (one.outcome == "archived" or self.circumstances.unreachable_since() is None):
            self._note(one.at, "wrong", f"{violation}: {one.outcome}, for another cluster")
        if one.before is not None and one.before["CreatedAt"] != one.body["CreatedAt"] and not self._unread(violation):
            self._note(one.at, "moved", f"{violation}: {one.before['CreatedAt']} to {one.body['CreatedAt']}")
        self._judge_record_state(one, violation, before, uncertain)

    def _unread(self, violation: Violation) -> bool:
        """Whether the violation is new since the start, and its stored finding could not be read."""
        new = self.truth.claimed.get(violation, -1.0) > self.circumstances.started()
        return new and self.circumstances.unreadable()

    def _judge_record_state(self, one: Import, violation: Violation, before: Import | None, uncertain: str) -> None:
        match one.outcome:
            case "archived":
                self._archived(one, violation)
            case "new" | "reactivated":
                if one.outcome == "new" and one.body["RecordState"] == "ARCHIVED":
                    self._born(one, violation, before)
                else:
                    self._activated(one, violation)
            case "same" | "ignored":
                self._again(one, violation, before, uncertain)
            case "changed":
                self._changed(one, violation, before)

    def _archived(self, one: Import, violation: Violation) -> None:
        since = self.truth.since.get(violation)
        slack = LATE_SECONDS if self.circumstances.slow_news() else NEWS_SECONDS
        if since is None or one.at - since < slack:
            return
        if self.truth.silenced.get(violation, -1.0) >= since:
            self.allowed["archived as its engine, which writes failures only, could not evaluate it"] += 1
            return
        ended = self.truth.ended.get(violation)
        claimed = self.truth.claimed.get(violation)
        denied = self.truth.denied.get(violation, -1.0)
        if ended is not None and denied >= ended and (claimed is None or claimed < ended):
            self.allowed["archived on the evidence of an engine, given before the violation came back"] += 1
            return
        claim = "reported by its engine" if claimed is not None else "not reported by its engine now"
        self._note(one.at, "wrong", f"{violation}: archived; it exists since {when(since)}, {claim}")

    def _born(self, one: Import, violation: Violation, before: Import | None) -> None:
        if before is not None and before.at < self.hub.emptied and self.hub.disabled_seen < self.hub.emptied:
            self.allowed["archived in a Security Hub that was emptied while it could not be reached"] += 1
        else:
            self._note(one.at, "born", f"{violation}")

    def _activated(self, one: Import, violation: Violation) -> None:
        gone = self.truth.gone_since(violation)
        slack = LATE_SECONDS if self.circumstances.slow_news() else NEWS_SECONDS
        unreachable = self.circumstances.unreachable_since()
        if unreachable is not None and gone is not None and gone > unreachable - slack:
            self.allowed["its end could not be known, since the API server cannot be reached"] += 1
            return
        if violation.kind in OWNED and self.circumstances.owners_refused():
            self.allowed["not rolled up, because owners may not be listed"] += 1
            return
        if gone is not None and one.at - gone > slack and not self.truth.reported(violation):
            self._note(one.at, "false", f"{violation}: {one.outcome}; gone since {when(gone)}")

    def _again(self, one: Import, violation: Violation, before: Import | None, uncertain: str) -> None:
        stored = one.before
        if stored is None or before is None:
            return
        if one.outcome == "ignored" and any(stored.get(n) != v for n, v in one.body.items() if n not in TIMES):
            if not uncertain:
                self._note(one.at, "needless", f"{violation}: news with an old UpdatedAt, which is ignored")
            return
        if uncertain:
            self.allowed[uncertain] += 1
        elif self.circumstances.unreadable():
            self.allowed["GetFindings refused for long"] += 1
        elif (
            self.circumstances.wall() - seconds_of(stored["UpdatedAt"]) > REFRESH_SECONDS
            and one.at - before.at > DAY_SECONDS
        ):
            self.allowed["refresh"] += 1
        else:
            self._note(one.at, "needless", f"{violation}: {one.outcome}, last sent {when(before.at)}")

    def _changed(self, one: Import, violation: Violation, before: Import | None) -> None:
        if before is None:
            return
        if counts := numbers(one.body):
            was = numbers(one.before or {})
            if was and was != counts and not any(far(old, new) for old, new in zip(was, counts, strict=True)):
                self._note(one.at, "restless", f"{violation}: {counts} of a list, last sent as {was}")
            return
        cause = self.truth.caused(violation)
        if cause < before.at - FLIGHT_SECONDS and one.at - cause > DELAYED_SECONDS:
            old = one.before or {}
            names = [n for n, v in one.body.items() if n not in TIMES and old.get(n) != v]
            last = f"last sent {when(before.at)}, last cause {when(cause)}"
            self._note(one.at, "restless", f"{violation}: {names} differ, {last}")

    # -- at regular times ----------------------------------------------------------------------------------------------

    def check(self, now: float, crashed: str = "") -> None:
        if crashed:
            self._once(now, "crashed", crashed, open_=True)
        self.truth.update()
        for id_, values in self.hub.customers.items():
            stored = self.hub.stored.get(id_)
            wrong = [n for n, v in values.items() if stored is not None and stored.get(n) != v]
            self._once(now, "triage", f"{id_}: {wrong} changed", open_=bool(wrong))
        calm = now - self.circumstances.calm_since()
        if self.replaced or calm < CALM_SECONDS:
            return
        active = {violation_of(finding) for finding in self.hub.active()}
        for violation, since in self.truth.since.items():
            if violation.namespace in self.circumstances.foreign:
                continue
            claimed = self.truth.claimed.get(violation)
            due = claimed is not None and now - max(since, claimed) > CALM_SECONDS
            text = f"{violation}: exists since {when(since)}"
            self._once(now, "lost", text, open_=due and violation not in active)
        if calm > ENDLESS_SECONDS:
            self._endless(now, active)

    def mistaken(self, source: str) -> bool:
        """Whether an active finding that the engine no longer reports is of a violation that exists."""
        self.truth.update()
        silent = (v for v in map(violation_of, self.hub.active()) if v.source == source and v not in self.truth.claimed)
        return any(violation in self.truth.since for violation in silent)

    def _endless(self, now: float, active: set[Violation]) -> None:
        conditions: dict[str, str] | None = None
        for violation in sorted(active):
            gone = self.truth.gone_since(violation)
            if gone is not None and self.circumstances.unevaluated(violation):
                self._last_claim[violation] = now
            gone = None if gone is None else max(gone, self._last_claim.get(violation, gone))
            if gone is None or now - gone < ENDLESS_SECONDS or violation.namespace in self.circumstances.foreign:
                continue
            if conditions is None:
                conditions = self.circumstances.conditions()
            denied = self.truth.denied.get(violation, -1.0) >= gone
            excused = not (EXCUSES if denied else EXCUSES | UNREPORTED_EXCUSES).isdisjoint(conditions)
            self._once(now, "endless", f"{violation}: gone since {when(gone)}", open_=not excused)

    def approved(self, now: float, source: str) -> None:
        """At the end of a story with an approval: no condition excuses an active finding of the engine whose violation
        is gone.
        """
        for violation in sorted({violation_of(finding) for finding in self.hub.active()}):
            if violation.source == source and self.truth.gone_since(violation) is not None:
                self._note(now, "endless", f"{violation}: approved, and still active")

    def _once(self, now: float, promise: str, what: str, *, open_: bool) -> None:
        key = promise, what
        if open_ and key not in self._open:
            self._open.add(key)
            self._note(now, promise, what)
        elif not open_:
            self._open.discard(key)

    def _note(self, at: float, promise: str, what: str) -> None:
        self.broken.append(Broken(at, promise, what))


def numbers(finding: Document) -> tuple[int, int] | None:
    """How many violations are listed, of how many, if the finding is the notice of a truncated list."""
    fields = finding.get("ProductFields", {})
    if fields.get("policyhub/result") != "truncated":
        return None
    return int(fields["policyhub/property/listed"]), int(fields["policyhub/property/total"])


def far(old: int, new: int) -> bool:
    """Whether the number has doubled or halved."""
    return max(old, new) >= 2 * min(old, new)


def violation_of(finding: Document) -> Violation:
    """The violation, from the fields that an analyst sees."""
    return Violation(*violation_in(finding))


def when(seconds: float) -> str:
    """Virtual time, readable: day and time of day."""
    if seconds < 0:
        return "never"
    day, rest = divmod(round(seconds), 86_400)
    return f"d{day} {rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"
