"""Checks a run from the outside: compares the hub's journal and findings with the true state of the cluster.

It shares no code with the operator: a finding is recognised by its product fields and its resource, as an analyst does.
An import that changes nothing for a reader is *redundant*. It is allowed if the operator cannot know better:

| reason | since the last import of the finding that was answered … |
|---|---|
| no answer | a request with it got a 500, a timeout or a cut connection |
| partial | a request rejected it with InternalFailure |
| killed | the operator was killed, within a second of an import of it |
| two at once | another operator wrote it, or did so at the same time |
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dev.company.truth import violation_in
from tests.faults.cluster_state import ClusterState
from tests.faults.truth import Truth, Unlisted, Violation, ended

Document = dict[str, Any]

KILL_SECONDS = 1.0
"""For this long before and after a kill -9 a request may have been in flight: the hub handles one within milliseconds,
then the operator waits for its answer.
"""
DAMPED = 2
"""From this many reactivations on, an archive may come an hour later."""
PROMISES = {
    "wrong": "archived although the violation had not ended",
    "invented": "a finding of a violation that never existed, such as of a Pod that is rolled up to its Deployment",
    "missing": "lost: exists in the cluster, but has no active finding",
    "stale": "left open: active, but the violation has ended",
    "double": "two active findings of one violation",
    "differs": "the finding differs from the cluster",
    "triage": "a value that an analyst set was changed",
    "moved": "CreatedAt changed",
    "backwards": "UpdatedAt did not increase, so Security Hub ignored the change",
    "forbidden": "redundant, although every earlier import was answered",
    "restless": "sent again although its text never changes: at a rollout, a scan, a start",
    "disputed": "the API server differs from the driver's records: an error of the bench",
}


@dataclass
class UnknownOutcomes:
    """Periods whose imports have an unknown outcome for a reason that the hub cannot see, in Unix seconds."""

    kills: list[float] = field(default_factory=list)
    overlaps: list[tuple[float, float]] = field(default_factory=list)
    """Two operators ran at once."""
    lags: list[tuple[float, float]] = field(default_factory=list)
    """An operator started while GetFindings lagged: what changes then may have an UpdatedAt that is too early."""

    def reason_at(self, moment: float) -> str:
        """Why an operator that runs later may not know of an import at that moment."""
        if any(abs(moment - kill) <= KILL_SECONDS for kill in self.kills):
            return "killed"
        return "two at once" if self.overlapping(moment) else ""

    def lagging(self, moment: float) -> bool:
        return any(start <= moment <= end for start, end in self.lags)

    def overlapping(self, moment: float) -> bool:
        return any(start <= moment <= end for start, end in self.overlaps)


@dataclass
class Verdict:
    """For each promise, the events that broke it."""

    wrong: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    triage: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    backwards: list[str] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)
    restless: list[str] = field(default_factory=list)
    disputed: list[str] = field(default_factory=list)
    allowed: Counter[str] = field(default_factory=Counter)
    """Unavoidable redundant imports, by reason."""
    imports: int = 0
    permanent: int = 0
    """Violations that never ended: archiving one of them is always wrong."""
    damped: int = 0
    """Findings that were reactivated so often that their archive may come an hour later."""

    @property
    def good(self) -> bool:
        return not any(getattr(self, promise) for promise in PROMISES)

    def broken(self) -> Iterator[tuple[str, list[str]]]:
        return ((promise, lines) for promise in PROMISES if (lines := getattr(self, promise)))


def about(finding: Document) -> Violation:
    return Violation(*violation_in(finding))


def compare(
    findings: list[Document],
    true: set[Violation],
    *,
    unlisted: Unlisted,
    unscanned: Callable[[Violation], bool],
    damped: frozenset[str] = frozenset(),
) -> Verdict:
    """Whether the active findings are exactly the violations. A finding that a truncated list leaves undecided is
    allowed. So is a finding of an ended violation while an object is `unscanned` that may still have it.
    """
    active: defaultdict[Violation, list[str]] = defaultdict(list)
    for finding in findings:
        if finding["RecordState"] == "ACTIVE":
            active[about(finding)].append(finding["Id"])

    def may(violation: Violation) -> bool:
        return unlisted.leaves_open(violation) or unscanned(violation) or active[violation][0] in damped

    return Verdict(
        missing=[f"{v}" for v in sorted(true - active.keys()) if not unlisted.leaves_open(v)],
        stale=[f"{violation}" for violation in sorted(active.keys() - true) if not may(violation)],
        double=[f"{violation}: {ids}" for violation, ids in active.items() if len(ids) > 1],
    )


def check(
    *,
    findings: list[Document],
    journal: list[Document],
    state: ClusterState,
    truth: Truth,
    unlisted: Unlisted,
    triage: Mapping[str, list[Document]],
    permanent: set[Violation],
    unknown_outcomes: UnknownOutcomes,
    slack: float,
    stalled: bool = False,
) -> Verdict:
    """Compare a finished run with the truth. An archive is right if the violation was absent at some moment in the
    `slack` seconds before it, because changes arrive late. `stalled`: watches were stalled, so the operator may have
    taken deleted objects for live ones. `unlisted` and `truth` are the driver's records, `state` is read from the API
    server.
    """
    imports = [entry for entry in journal if entry["kind"] != "update"]
    back = Counter(entry["id"] for entry in imports if entry["outcome"] == "reactivated")
    damped = frozenset(id_ for id_, number in back.items() if number >= DAMPED)
    seen = set(state.seen)
    verdict = compare(findings, seen, unlisted=state.unlisted, unscanned=truth.unscanned, damped=damped)
    undecided = state.unlisted.leaves_open
    verdict.missing += [f"{v}: seen" for v in sorted(seen - _active(findings)) if undecided(v)]
    verdict.permanent, verdict.damped = len(permanent), len(damped)
    verdict.imports = sum(entry["kind"] == "import" for entry in imports)
    expected_violations = {violation for violation in truth.violations() if not unlisted.leaves_open(violation)}
    verdict.disputed = [f"{violation}" for violation in sorted(expected_violations - seen | seen - truth.violations())]
    known = {finding["Id"]: finding for finding in findings}
    possible = truth.existed.keys() | (truth.stale_claims if stalled else set())
    verdict.invented = [f"{about(f)}" for f in findings if about(f) not in possible]
    verdict.differs = [line for finding in findings for line in _differences(finding, state)]
    verdict.restless = [
        f"{about(known[entry['id']])} at {entry['time']:.3f}"
        for entry in imports
        if entry["outcome"] == "changed" and about(known[entry["id"]]) in permanent
    ]
    _archives(verdict, imports, known, truth=truth, permanent=permanent, slack=slack)
    _times(verdict, imports, known, unknown_outcomes)
    _redundant(verdict, imports, unknown_outcomes)
    expected = _expected(journal, triage)
    verdict.triage = [
        line for finding in findings for line in _triage_changes(finding, expected.get(finding["Id"], {}))
    ]
    return verdict


def _active(findings: list[Document]) -> set[Violation]:
    return {about(finding) for finding in findings if finding["RecordState"] == "ACTIVE"}


def _differences(finding: Document, state: ClusterState) -> Iterator[str]:
    """How an active finding differs from the representative result in the cluster."""
    reported = state.representative(about(finding))
    if finding["RecordState"] != "ACTIVE" or reported is None:
        return
    status, text = finding["Compliance"]["Status"], finding["Description"]
    severity = finding["FindingProviderFields"]["Severity"]["Label"]
    if status != reported.status or reported.severity not in {"", severity} or reported.message not in text:
        yield f"{about(finding)}: {status}, {severity}, {text[-60:]!r}; the cluster has {reported}"


def _archives(
    verdict: Verdict,
    imports: list[Document],
    known: Mapping[str, Document],
    *,
    truth: Truth,
    permanent: set[Violation],
    slack: float,
) -> None:
    for entry in imports:
        if entry["outcome"] == "archived":
            violation, moment = about(known[entry["id"]]), entry["time"]
            times = truth.existed.get(violation, [])
            if violation in permanent or not ended(times, since=moment - slack, until=moment):
                spans = [[round(moment - at, 3) for at in span] for span in times]
                verdict.wrong.append(f"{violation} at {moment:.3f}; it existed from and to so many s before: {spans}")


def _times(
    verdict: Verdict, imports: list[Document], known: Mapping[str, Document], unknown_outcomes: UnknownOutcomes
) -> None:
    created: dict[str, str] = {}
    for entry in imports:
        if entry["outcome"] in {"failed", "lost"}:
            continue
        first = created.setdefault(entry["id"], entry["created_at"])
        if entry["outcome"] != "ignored" and entry["created_at"] != first:
            if unknown_outcomes.overlapping(entry["time"]):  # the other operator has created it as well
                created[entry["id"]] = entry["created_at"]
                continue
            verdict.moved.append(f"{about(known[entry['id']])} from {first} to {entry['created_at']}")
            created[entry["id"]] = entry["created_at"]
        known_time = not (unknown_outcomes.reason_at(entry["time"]) or unknown_outcomes.lagging(entry["time"]))
        if entry["outcome"] == "ignored" and not entry["redundant"] and known_time:
            verdict.backwards.append(f"{about(known[entry['id']])} at {entry['time']:.3f}: {entry['updated_at']}")


def _redundant(verdict: Verdict, imports: list[Document], unknown_outcomes: UnknownOutcomes) -> None:
    """The outcome for a finding stays unknown until an import of it is answered."""
    lost = {(entry["call"], entry["id"]) for entry in imports if entry["kind"] == "lost"}
    unknown: dict[str, str] = {}
    for entry in imports:
        id_, moment = entry["id"], entry["time"]
        if entry["kind"] == "lost":
            unknown[id_] = "no answer"
        elif entry["outcome"] == "failed":
            if entry["detail"].startswith("InternalFailure"):
                unknown[id_] = "partial"
        else:
            if entry["redundant"]:
                reason = unknown.get(id_, "") or ("two at once" if unknown_outcomes.overlapping(moment) else "")
                if reason:
                    verdict.allowed[reason] += 1
                else:
                    verdict.forbidden.append(f"{id_} at {moment:.3f}: {entry['outcome']}")
            if (entry["call"], id_) not in lost:
                unknown.pop(id_, None)
            if later := unknown_outcomes.reason_at(moment):
                unknown[id_] = later


def _expected(journal: list[Document], triage: Mapping[str, list[Document]]) -> dict[str, Document]:
    """The analyst's last values, by finding. On reactivation, Security Hub resets NOTIFIED and RESOLVED to NEW."""
    done = {id_: iter(acts) for id_, acts in triage.items()}
    expected: dict[str, Document] = {}
    for entry in journal:
        if entry["kind"] == "update":
            expected.setdefault(entry["id"], {}).update(next(done[entry["id"]]))
        elif entry["outcome"] == "reactivated":
            values = expected.get(entry["id"], {})
            if values.get("Workflow", {}).get("Status") in {"NOTIFIED", "RESOLVED"}:
                values["Workflow"] = {"Status": "NEW"}
    return expected


def _triage_changes(finding: Document, expected: Document) -> Iterator[str]:
    """The analyst's attributes that are not as last set, or not as before if nobody set them."""
    has = {
        "Workflow": finding["Workflow"].get("Status"),
        "Note": finding.get("Note", {}).get("Text"),
        "Severity": finding["Severity"]["Label"],
        "UserDefinedFields": finding.get("UserDefinedFields"),
        "VerificationState": finding.get("VerificationState"),
    }
    should_be = {
        "Workflow": expected.get("Workflow", {"Status": "NEW"})["Status"],
        "Note": expected.get("Note", {}).get("Text"),
        "Severity": expected.get("Severity", finding["FindingProviderFields"]["Severity"])["Label"],
        "UserDefinedFields": expected.get("UserDefinedFields"),
        "VerificationState": expected.get("VerificationState"),
    }
    for member, value in should_be.items():
        if has[member] != value:
            yield f"{about(finding)}: {member} is {has[member]!r}, should be {value!r}"
