"""Judges each import and each moment, by what was true in the cluster. It shares no code with the operator.

| promise    | broken when                                                                                             |
|------------|---------------------------------------------------------------------------------------------------------|
| wrong      | archived, although the violation exists and has for longer than news takes                              |
| lost       | it exists, its engine says so, all has been well for an hour, and it has no active finding              |
| false      | a finding becomes active although the violation neither exists nor is said to by a live report          |
| needless   | sent although nothing but times differs from what is stored                                             |
| restless   | sent with other words although nothing happened that its words could tell                               |
| endless    | the violation has been gone for days of health, the finding is active, and no condition says why        |
| born       | a finding is created ARCHIVED                                                                           |
| moved      | CreatedAt is another than what is stored                                                                |
| triage     | an import names an attribute that is the customer's, or what a customer set is not as it was            |
| crashed    | a loop of the operator ended                                                                            |

Allowances, all of them:

* wrong: news takes NEWS_SECONDS, and LATE_SECONDS while watches are silent or late. Where an engine said of the object
  that the violation is not there, after it had ended and before it came back, nobody can know better until the engine
  looks again. Where it writes failures only and cannot evaluate the policy, it is as silent as about what is clean.
  Another cluster that answers is not known while the API server cannot be reached.
* false: its end could not be known, for the same reason; Pods, ReplicaSets and Jobs count for themselves while it has
  been refused for a quarter of a minute to list them (documented).
* born: Security Hub was emptied while it could not be reached, and has not said since that it was not enabled.
* needless: the last import of the finding got no answer or was failed by name; GetFindings was refused or down for a
  quarter of an hour (documented); it is a refresh: by the operator's own clock the stored one is 24 days old, and it
  was not sent within a day.
* moved: as the second of these, where the engine has begun to say so since the operator's start (documented).
* restless: something happened to the object, its reports or its policy since the last import, or within two hours
  (words may wait for the archive delay, a policy for the next listing). The
  notice of a list that is not whole changes only where a number of it has doubled or halved since it was sent last.
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
"""Conditions that name why a finding stays …"""
UNSAID = frozenset({"ArchiveHeld", "SourcesComplete"})
"""… and those that do unless the engine has said since that the violation is gone: that needs no other source and no
person."""


@dataclass(frozen=True)
class Broken:
    at: float
    promise: str
    what: str

    def __str__(self) -> str:
        return f"{when(self.at)} {self.promise}: {self.what}"


@dataclass
class Circumstances:
    """What the oracle is told about operator and faults."""

    wall: Callable[[], float]
    """Unix seconds by the operator's clock."""
    calm_since: Callable[[], float]
    """Since when no fault, restart or engine's stop has been; beyond now: there is one."""
    slow_news: Callable[[], bool]
    unreadable: Callable[[], bool]
    """Whether GetFindings has been refused for UNAVAILABLE_SECONDS within the last hour."""
    conditions: Callable[[], dict[str, str]]
    started: Callable[[], float] = lambda: 0.0
    """When the operator was started."""
    unreachable_since: Callable[[], float | None] = lambda: None
    """Since when the API server cannot be reached; None: it can."""
    disowned: Callable[[], bool] = lambda: False
    """Whether Pods, ReplicaSets or Jobs may not be listed, for as long as that takes to be believed."""
    unevaluated: Callable[[Violation], bool] = lambda _violation: False
    """Whether a live report says that it cannot be evaluated."""
    foreign: frozenset[str] = frozenset()
    """Namespaces whose people write reports as they please."""


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
    _doubt: dict[str, str] = field(default_factory=dict)
    _open: set[tuple[str, str]] = field(default_factory=set)
    _said: dict[Violation, float] = field(default_factory=dict)

    # -- each import ----------------------------------------------------------------------------------------------

    def judge(self, one: Import) -> None:
        self.truth.update()
        violation = violation_of(one.body)
        before, self._last[one.id] = self._last.get(one.id), one
        doubt = self._doubt.pop(one.id, "")
        if not one.answered:
            self._doubt[one.id] = "no answer"
        elif one.outcome == "failed":
            self._doubt[one.id] = "failed by name"
        if any(name in one.body for name in CUSTOMERS):
            self._note(one.at, "triage", f"{violation}: {[name for name in CUSTOMERS if name in one.body]} sent")
        if one.outcome == "failed" or violation.namespace in self.circumstances.foreign:
            return
        if self.replaced and (one.outcome == "archived" or self.circumstances.unreachable_since() is None):
            self._note(one.at, "wrong", f"{violation}: {one.outcome}, for another cluster")
        if one.before is not None and one.before["CreatedAt"] != one.body["CreatedAt"] and not self._unread(violation):
            self._note(one.at, "moved", f"{violation}: {one.before['CreatedAt']} to {one.body['CreatedAt']}")
        self._weigh(one, violation, before, doubt)

    def _unread(self, violation: Violation) -> bool:
        """Whether it is new since the start, and what Security Hub has of it could not be read."""
        new = self.truth.claimed.get(violation, -1.0) > self.circumstances.started()
        return new and self.circumstances.unreadable()

    def _weigh(self, one: Import, violation: Violation, before: Import | None, doubt: str) -> None:
        match one.outcome:
            case "archived":
                self._archived(one, violation)
            case "new" | "reactivated":
                if one.outcome == "new" and one.body["RecordState"] == "ARCHIVED":
                    self._born(one, violation, before)
                else:
                    self._activated(one, violation)
            case "same" | "ignored":
                self._again(one, violation, before, doubt)
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
            self.allowed["archived by what the engine said before the violation came back"] += 1
            return
        said = "said by its engine" if claimed is not None else "its engine says nothing now"
        self._note(one.at, "wrong", f"{violation}: archived; it exists since {when(since)}, {said}")

    def _born(self, one: Import, violation: Violation, before: Import | None) -> None:
        if before is not None and before.at < self.hub.emptied and self.hub.told < self.hub.emptied:
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
        if violation.kind in OWNED and self.circumstances.disowned():
            self.allowed["counts for itself, since owners may not be listed"] += 1
            return
        if gone is not None and one.at - gone > slack and not self.truth.said(violation):
            self._note(one.at, "false", f"{violation}: {one.outcome}; gone since {when(gone)}")

    def _again(self, one: Import, violation: Violation, before: Import | None, doubt: str) -> None:
        stored = one.before
        if stored is None or before is None:
            return
        if one.outcome == "ignored" and any(stored.get(n) != v for n, v in one.body.items() if n not in TIMES):
            if not doubt:
                self._note(one.at, "needless", f"{violation}: news with an old UpdatedAt, which is ignored")
            return
        if doubt:
            self.allowed[doubt] += 1
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
        if told := numbers(one.body):
            was = numbers(one.before or {})
            if was and was != told and not any(far(old, new) for old, new in zip(was, told, strict=True)):
                self._note(one.at, "restless", f"{violation}: {told} of a list, last told {was}")
            return
        cause = self.truth.caused(violation)
        if cause < before.at - FLIGHT_SECONDS and one.at - cause > DELAYED_SECONDS:
            old = one.before or {}
            names = [n for n, v in one.body.items() if n not in TIMES and old.get(n) != v]
            last = f"last sent {when(before.at)}, last cause {when(cause)}"
            self._note(one.at, "restless", f"{violation}: {names} differ, {last}")

    # -- each moment ----------------------------------------------------------------------------------------------

    def look(self, now: float, crashed: str = "") -> None:
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
            told = claimed is not None and now - max(since, claimed) > CALM_SECONDS
            text = f"{violation}: exists since {when(since)}"
            self._once(now, "lost", text, open_=told and violation not in active)
        if calm > ENDLESS_SECONDS:
            self._endless(now, active)

    def mistaken(self, source: str) -> bool:
        """Whether an active finding of the engine that it says nothing of any more is of a violation that exists."""
        self.truth.update()
        silent = (v for v in map(violation_of, self.hub.active()) if v.source == source and v not in self.truth.claimed)
        return any(violation in self.truth.since for violation in silent)

    def _endless(self, now: float, active: set[Violation]) -> None:
        conditions: dict[str, str] | None = None
        for violation in sorted(active):
            gone = self.truth.gone_since(violation)
            if gone is not None and self.circumstances.unevaluated(violation):
                self._said[violation] = now
            gone = None if gone is None else max(gone, self._said.get(violation, gone))
            if gone is None or now - gone < ENDLESS_SECONDS or violation.namespace in self.circumstances.foreign:
                continue
            if conditions is None:
                conditions = self.circumstances.conditions()
            said = self.truth.denied.get(violation, -1.0) >= gone
            excused = not (EXCUSES if said else EXCUSES | UNSAID).isdisjoint(conditions)
            self._once(now, "endless", f"{violation}: gone since {when(gone)}", open_=not excused)

    def approved(self, now: float, source: str) -> None:
        """At the end of a story in which a person has approved of what an engine lost: then nothing excuses a finding
        of it that is active although it is gone.
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
    """How many are listed of how many, where the finding tells of a list that is not whole."""
    fields = finding.get("ProductFields", {})
    if fields.get("policyhub/result") != "truncated":
        return None
    return int(fields["policyhub/property/listed"]), int(fields["policyhub/property/total"])


def far(old: int, new: int) -> bool:
    """Whether it has doubled or halved."""
    return max(old, new) >= 2 * min(old, new)


def violation_of(finding: Document) -> Violation:
    """By what an analyst sees of it."""
    return Violation(*violation_in(finding))


def when(seconds: float) -> str:
    """Virtual time, readable: day and time of day."""
    if seconds < 0:
        return "never"
    day, rest = divmod(round(seconds), 86_400)
    return f"d{day} {rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"
