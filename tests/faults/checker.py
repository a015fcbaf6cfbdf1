"""Judges a run from the outside: what the hub's journal and store say, against what was true in the cluster.

It shares no code with the operator: a finding is recognised by its product fields and its resource, as an analyst
would. An import that changes nothing for a reader is *redundant*; it is allowed where the operator cannot know better:

| reason | since the last import of the finding that was answered … |
|---|---|
| no answer | a call with it got a 500, a time-out or a cut connection |
| partial | a call failed it with InternalFailure |
| killed | the operator was killed, within a second of an import of it |
| two at once | another operator wrote it, or did so at the same time |
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dev.company.truth import violation_in
from tests.faults.census import Census
from tests.faults.truth import Truth, Unlisted, Violation, ended

Document = dict[str, Any]

KILL_SECONDS = 1.0
"""So long before and after a kill -9 a call may have been under way: the hub handles one within milliseconds, the
operator then waits for its answer.
"""
DAMPED = 2
"""Reactivations after which an archive may come an hour later."""
PROMISES = {
    "wrong": "archived although the violation had not ended",
    "invented": "a finding of what never was, such as of a Pod that counts for its Deployment",
    "missing": "lost: true in the cluster, and no active finding",
    "stale": "left open: active, and no longer true",
    "double": "two active findings of one violation",
    "differs": "the finding says something else than the cluster",
    "triage": "what the analyst set is not as it was",
    "moved": "CreatedAt changed",
    "backwards": "UpdatedAt did not increase, so Security Hub ignored what was new",
    "forbidden": "redundant, and nobody had lost an answer",
    "restless": "sent again, although its words never change: at a rollout, a scan, a start",
    "disputed": "the API server has something else than the driver believes: a mistake of the bench",
}


@dataclass
class Doubts:
    """When outcomes were unknown for reasons that the hub cannot see. All in Unix seconds."""

    kills: list[float] = field(default_factory=list)
    overlaps: list[tuple[float, float]] = field(default_factory=list)
    """Two operators were at work."""
    lags: list[tuple[float, float]] = field(default_factory=list)
    """An operator started while GetFindings lagged: what changes then may have an UpdatedAt that is too early."""

    def of(self, moment: float) -> str:
        """Why an import at that moment may be unknown to the operator that is at work later."""
        if any(abs(moment - kill) <= KILL_SECONDS for kill in self.kills):
            return "killed"
        return "two at once" if self.overlapping(moment) else ""

    def lagging(self, moment: float) -> bool:
        return any(start <= moment <= end for start, end in self.lags)

    def overlapping(self, moment: float) -> bool:
        return any(start <= moment <= end for start, end in self.overlaps)


@dataclass
class Verdict:
    """A list for each promise, with what broke it."""

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
    """Redundant imports that nobody could avoid, by reason."""
    imports: int = 0
    still: int = 0
    """Violations that never ended: any archive of one of them is wrong."""
    damped: int = 0
    """Findings that came back so often that their archive may come an hour later."""

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
    unseen: Callable[[Violation], bool],
    damped: frozenset[str] = frozenset(),
) -> Verdict:
    """Whether the active findings are exactly the violations; what a truncated list leaves open may be either, and what
    was one may still be, while something is `unseen` that may call for it.
    """
    active: defaultdict[Violation, list[str]] = defaultdict(list)
    for finding in findings:
        if finding["RecordState"] == "ACTIVE":
            active[about(finding)].append(finding["Id"])

    def may(violation: Violation) -> bool:
        return unlisted.leaves_open(violation) or unseen(violation) or active[violation][0] in damped

    return Verdict(
        missing=[f"{v}" for v in sorted(true - active.keys()) if not unlisted.leaves_open(v)],
        stale=[f"{violation}" for violation in sorted(active.keys() - true) if not may(violation)],
        double=[f"{violation}: {ids}" for violation, ids in active.items() if len(ids) > 1],
    )


def judge(
    *,
    findings: list[Document],
    journal: list[Document],
    census: Census,
    truth: Truth,
    unlisted: Unlisted,
    triage: Mapping[str, list[Document]],
    still: set[Violation],
    doubts: Doubts,
    slack: float,
    stalled: bool = False,
) -> Verdict:
    """`slack`: an archive is right if the violation was absent at some time in so many seconds before it: how late news
    may be. `stalled`: watches were, so that what was dead may have been taken to live. `unlisted` and `truth` are what
    the driver believes, `census` is what the API server says.
    """
    imports = [entry for entry in journal if entry["kind"] != "update"]
    back = Counter(entry["id"] for entry in imports if entry["outcome"] == "reactivated")
    damped = frozenset(id_ for id_, number in back.items() if number >= DAMPED)
    seen = set(census.seen)
    verdict = compare(findings, seen, unlisted=census.unlisted, unseen=truth.unseen, damped=damped)
    opened = census.unlisted.leaves_open
    verdict.missing += [f"{v}: seen" for v in sorted(seen - _active(findings)) if opened(v)]
    verdict.still, verdict.damped = len(still), len(damped)
    verdict.imports = sum(entry["kind"] == "import" for entry in imports)
    believed = {violation for violation in truth.violations() if not unlisted.leaves_open(violation)}
    verdict.disputed = [f"{violation}" for violation in sorted(believed - seen | seen - truth.violations())]
    known = {finding["Id"]: finding for finding in findings}
    told = truth.existed.keys() | (truth.seemed if stalled else set())
    verdict.invented = [f"{about(f)}" for f in findings if about(f) not in told]
    verdict.differs = [line for finding in findings for line in _differences(finding, census)]
    verdict.restless = [
        f"{about(known[entry['id']])} at {entry['time']:.3f}"
        for entry in imports
        if entry["outcome"] == "changed" and about(known[entry["id"]]) in still
    ]
    _archives(verdict, imports, known, truth=truth, still=still, slack=slack)
    _times(verdict, imports, known, doubts)
    _redundant(verdict, imports, doubts)
    expected = _expected(journal, triage)
    verdict.triage = [line for finding in findings for line in _touched(finding, expected.get(finding["Id"], {}))]
    return verdict


def _active(findings: list[Document]) -> set[Violation]:
    return {about(finding) for finding in findings if finding["RecordState"] == "ACTIVE"}


def _differences(finding: Document, census: Census) -> Iterator[str]:
    """What an active finding says, against what who speaks for it in the cluster says."""
    said = census.voice(about(finding))
    if finding["RecordState"] != "ACTIVE" or said is None:
        return
    status, text = finding["Compliance"]["Status"], finding["Description"]
    severity = finding["FindingProviderFields"]["Severity"]["Label"]
    if status != said.status or said.severity not in {"", severity} or said.message not in text:
        yield f"{about(finding)}: {status}, {severity}, {text[-60:]!r}; the cluster says {said}"


def _archives(
    verdict: Verdict,
    imports: list[Document],
    known: Mapping[str, Document],
    *,
    truth: Truth,
    still: set[Violation],
    slack: float,
) -> None:
    for entry in imports:
        if entry["outcome"] == "archived":
            violation, moment = about(known[entry["id"]]), entry["time"]
            times = truth.existed.get(violation, [])
            if violation in still or not ended(times, since=moment - slack, until=moment):
                spans = [[round(moment - at, 3) for at in span] for span in times]
                verdict.wrong.append(f"{violation} at {moment:.3f}; it existed from and to so many s before: {spans}")


def _times(verdict: Verdict, imports: list[Document], known: Mapping[str, Document], doubts: Doubts) -> None:
    created: dict[str, str] = {}
    for entry in imports:
        if entry["outcome"] in {"failed", "lost"}:
            continue
        first = created.setdefault(entry["id"], entry["created_at"])
        if entry["outcome"] != "ignored" and entry["created_at"] != first:
            if doubts.overlapping(entry["time"]):  # the other one has made it as well
                created[entry["id"]] = entry["created_at"]
                continue
            verdict.moved.append(f"{about(known[entry['id']])} from {first} to {entry['created_at']}")
            created[entry["id"]] = entry["created_at"]
        known_time = not (doubts.of(entry["time"]) or doubts.lagging(entry["time"]))
        if entry["outcome"] == "ignored" and not entry["redundant"] and known_time:
            verdict.backwards.append(f"{about(known[entry['id']])} at {entry['time']:.3f}: {entry['updated_at']}")


def _redundant(verdict: Verdict, imports: list[Document], doubts: Doubts) -> None:
    """A doubt about a finding lasts until an import of it is answered."""
    lost = {(entry["call"], entry["id"]) for entry in imports if entry["kind"] == "lost"}
    doubt: dict[str, str] = {}
    for entry in imports:
        id_, moment = entry["id"], entry["time"]
        if entry["kind"] == "lost":
            doubt[id_] = "no answer"
        elif entry["outcome"] == "failed":
            if entry["detail"].startswith("InternalFailure"):
                doubt[id_] = "partial"
        else:
            if entry["redundant"]:
                reason = doubt.get(id_, "") or ("two at once" if doubts.overlapping(moment) else "")
                if reason:
                    verdict.allowed[reason] += 1
                else:
                    verdict.forbidden.append(f"{id_} at {moment:.3f}: {entry['outcome']}")
            if (entry["call"], id_) not in lost:
                doubt.pop(id_, None)
            if later := doubts.of(moment):
                doubt[id_] = later


def _expected(journal: list[Document], triage: Mapping[str, list[Document]]) -> dict[str, Document]:
    """What the analyst set last, by finding. Where one comes back, Security Hub makes NOTIFIED and RESOLVED NEW."""
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


def _touched(finding: Document, expected: Document) -> Iterator[str]:
    """Each member that is the analyst's: as set last, or as it was when nobody had set it."""
    has = {
        "Workflow": finding["Workflow"].get("Status"),
        "Note": finding.get("Note", {}).get("Text"),
        "Severity": finding["Severity"]["Label"],
        "UserDefinedFields": finding.get("UserDefinedFields"),
        "VerificationState": finding.get("VerificationState"),
    }
    wanted = {
        "Workflow": expected.get("Workflow", {"Status": "NEW"})["Status"],
        "Note": expected.get("Note", {}).get("Text"),
        "Severity": expected.get("Severity", finding["FindingProviderFields"]["Severity"])["Label"],
        "UserDefinedFields": expected.get("UserDefinedFields"),
        "VerificationState": expected.get("VerificationState"),
    }
    for member, value in wanted.items():
        if has[member] != value:
            yield f"{about(finding)}: {member} is {has[member]!r}, should be {value!r}"
