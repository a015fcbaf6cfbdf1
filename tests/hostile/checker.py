"""Judges a scenario from the outside: Security Hub's journal and findings against what the company wrote, and what an
observer saw of the operator meanwhile.

It shares no code with the operator. A finding is the company's unless its object lies in the tenant's namespace; the
tenant's own findings are the tenant's affair, as long as what they say is safe to read.

Pure: no I/O, no clock.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tests.faults.census import Census
from tests.faults.checker import about
from tests.faults.truth import Violation, ended
from tests.hostile.company import Write

Document = dict[str, Any]

TENANT = "team-a"
MARK = "written-by-the-tenant"
"""In every text that the tenant makes up: it may stand in no finding of anybody else."""
LATE_SECONDS = 30.0
"""Against starving, not against slowness: on an idle machine a finding follows within two."""
MEMORY_MIB = 480.0
"""The chart's limit is 512Mi."""
HEALTH_SECONDS = 5.0
"""As long as the kubelet waits for an answer of /healthz."""
SLACK_SECONDS = 3.0
"""How late news may come: an archive is right if the violation was absent so shortly before it."""
KILL_SECONDS = 2.0
"""An import so shortly before a kill -9 may be unknown to the next operator."""
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control, escape and bidirectional characters, and halves of surrogates; tab and line feed only where a text has one
line.
"""
SHOWN = 80
HELD = frozenset({"ArchiveHeld", "IdentityConflict"})
"""Conditions that are good when False. That something is held for a person to look at is for that person to end."""

PROMISES = {
    "wrong": "archived although the violation had not ended",
    "missing": "true in the cluster, and no active finding",
    "stale": "active, and no longer true",
    "double": "two active findings of one violation",
    "differs": "the finding says something else than the cluster",
    "triage": "what the analyst set is not as it was",
    "needless": "sent though nothing had changed",
    "invented": "a finding of what never was in the company",
    "worded": "a finding of somebody else with the tenant's words",
    "late": f"followed after more than {LATE_SECONDS:.0f} s, or never",
    "memory": f"more than {MEMORY_MIB:.0f} MiB",
    "health": f"/healthz did not answer within {HEALTH_SECONDS:.0f} s",
    "ended": "the operator ended",
    "silent": "nothing in the status says what was cut or refused",
    "unsafe": "a control character where people read",
    "lasting": "what the tenant did outlasts his objects",
    "broken": "what this scenario alone looks at",
}


@dataclass
class Verdict:
    """For each promise what broke it; and the figures."""

    wrong: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    triage: list[str] = field(default_factory=list)
    needless: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    worded: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    memory: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    unsafe: list[str] = field(default_factory=list)
    lasting: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    """Seconds from each prompt write to the import that follows it, as acknowledged; those that never came count with
    the time for which they were waited.
    """

    @property
    def good(self) -> bool:
        return not any(getattr(self, promise) for promise in PROMISES)

    def violated(self) -> Iterator[tuple[str, list[str]]]:
        return ((promise, lines) for promise in PROMISES if (lines := getattr(self, promise)))

    def absorb(self, other: "Verdict") -> None:
        for promise in PROMISES:
            getattr(self, promise).extend(getattr(other, promise))


@dataclass
class Seen:
    """What an observer saw of the operator while a scenario ran."""

    memory: float = 0.0
    """The greatest resident set, in MiB."""
    health: list[float] = field(default_factory=list)
    """How long /healthz took each time; infinite where no answer came."""
    ended: list[str] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    """Texts of conditions and Kubernetes events."""
    unsafe: set[str] = field(default_factory=set)
    """Texts of the log, of metrics and of findings that are."""


# -- findings -----------------------------------------------------------------------------------------------------


def compare(findings: Iterable[Document], census: Census) -> Verdict:
    """Whether the company's active findings are exactly what the API server has, and say the same."""
    active: defaultdict[Violation, list[Document]] = defaultdict(list)
    for finding in findings:
        if finding["RecordState"] == "ACTIVE":
            active[about(finding)].append(finding)
    true = set(census.seen)
    return Verdict(
        missing=[f"{violation}" for violation in sorted(true - active.keys())],
        stale=[f"{violation}" for violation in sorted(active.keys() - true)],
        double=[f"{violation}: {[f['Id'] for f in found]}" for violation, found in active.items() if len(found) > 1],
        differs=[line for violation, found in active.items() for line in _differences(violation, found[0], census)],
    )


def _differences(violation: Violation, finding: Document, census: Census) -> Iterator[str]:
    said = census.voice(violation)
    if said is None:
        return
    status, text = finding["Compliance"]["Status"], finding["Description"]
    severity = finding["FindingProviderFields"]["Severity"]["Label"]
    if status != said.status or said.severity not in {"", severity} or said.message not in text:
        yield f"{violation}: {status}, {severity}, {text[-60:]!r}; the cluster says {said}"


def judge(
    *,
    findings: list[Document],
    journal: list[Document],
    census: Census,
    writes: Sequence[Write],
    existed: Mapping[Violation, list[list[float]]],
    triage: Mapping[str, Document],
    now: float,
    kills: Sequence[float] = (),
) -> Verdict:
    """One cluster's company. `findings` are all that are not the tenant's, `journal` what happened since the company
    was all in Security Hub, `writes` what the company wrote since.
    """
    verdict = compare(findings, census)
    known = {finding["Id"]: finding for finding in findings}
    verdict.invented = [f"{about(f)}" for f in findings if about(f) not in existed]
    verdict.worded = [f"{about(f)}: {_around(MARK, f)}" for f in findings if MARK in f"{f}"]
    verdict.triage = [line for finding in findings for line in _touched(finding, triage)]
    entries: defaultdict[Violation, list[Document]] = defaultdict(list)
    for entry in journal:
        finding = known.get(entry["id"])
        if entry["kind"] == "import" and entry["outcome"] not in {"failed", "lost"} and finding is not None:
            entries[about(finding)].append(entry)
    due: defaultdict[Violation, list[Write]] = defaultdict(list)
    for write in writes:
        due[write.violation].append(write)
    for violation in sorted(due.keys() | entries.keys()):
        _follow(verdict, due[violation], entries[violation], existed.get(violation, []), now=now, kills=kills)
    return verdict


def _follow(
    verdict: Verdict,
    due: list[Write],
    entries: list[Document],
    existed: list[list[float]],
    *,
    now: float,
    kills: Sequence[float],
) -> None:
    """Each write is followed by one import that does what it should, and there are no others."""
    left = list(entries)
    for write in due:
        follows = [entry for entry in left if entry["time"] >= write.at and entry["outcome"] == write.outcome]
        delay = (follows[0]["time"] if follows else now) - write.at
        if write.prompt:
            verdict.delays.append(delay)
        if follows:
            left.remove(follows[0])
        if (write.prompt and delay > LATE_SECONDS) or not follows:
            ended_ = "followed" if follows else "had not followed"
            verdict.late.append(f"{write.violation}: {write.outcome} {ended_} after {delay:.1f} s")
    for entry in left:
        moment, what = entry["time"], f"{entry['id']} {entry['outcome']} at {entry['time']:.3f}"
        if entry["outcome"] == "archived" and not ended(existed, since=moment - SLACK_SECONDS, until=moment):
            verdict.wrong.append(f"{due[0].violation if due else ''} {what}")
        elif not _excused(entry, entries, kills):
            verdict.needless.append(f"{due[0].violation if due else ''} {what}")


def _excused(entry: Document, entries: list[Document], kills: Sequence[float]) -> bool:
    """Whether the import before it may be unknown to an operator that was started after a kill."""
    earlier = [other["time"] for other in entries if other["time"] < entry["time"]]
    return any(abs(kill - moment) <= KILL_SECONDS and kill < entry["time"] for kill in kills for moment in earlier)


def _touched(finding: Document, triage: Mapping[str, Document]) -> Iterator[str]:
    wanted = triage.get(finding["Id"], {"Workflow": "NEW", "Note": None})
    has = {"Workflow": finding["Workflow"].get("Status"), "Note": finding.get("Note", {}).get("Text")}
    for member, value in wanted.items():
        if has[member] != value:
            yield f"{about(finding)}: {member} is {has[member]!r}, should be {value!r}"


# -- what was observed --------------------------------------------------------------------------------------------


def observed(seen: Seen, *, says: Sequence[str]) -> Verdict:
    """`says`: each of these patterns is found in some text of the status or of an event."""
    slow = [seconds for seconds in seen.health if seconds > HEALTH_SECONDS]
    return Verdict(
        memory=[f"{seen.memory:.0f} MiB"] if seen.memory > MEMORY_MIB else [],
        health=[f"{len(slow)} of {len(seen.health)} times"] if slow else [],
        ended=list(seen.ended),
        silent=[word for word in says if not any(re.search(word, text) for text in seen.told)],
        unsafe=[shown(text) for text in sorted(seen.unsafe | {text for text in seen.told if unsafe(text)})],
    )


def unsafe(text: str, *, lines: bool = False) -> bool:
    """Whether it holds what may do something to a terminal or a reader's eye. `lines`: it may have several."""
    return bool(UNSAFE.search(text)) or (not lines and ("\n" in text or "\t" in text))


def shown(text: str) -> str:
    found = UNSAFE.search(text)
    start = max(0, found.start() - SHOWN // 2) if found else 0
    return ascii(text[start : start + SHOWN])


def _around(mark: str, finding: Document) -> str:
    text = f"{finding}"
    start = text.index(mark)
    return text[max(0, start - SHOWN) : start + SHOWN]


# -- figures ------------------------------------------------------------------------------------------------------


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed; 0 where there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def middle(values: Sequence[float]) -> float:
    return median(values) if values else 0.0
