"""Checks a scenario from the outside: compares Security Hub's journal and findings with the company's writes, and
evaluates what an observer saw of the operator.

It shares no code with the operator. A finding belongs to the company unless its object is in the tenant's namespace.
The tenant's own findings may be anything, as long as their texts are safe to display.

Pure: no I/O, no clock.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tests.faults.checker import about
from tests.faults.cluster_state import ClusterState
from tests.faults.truth import Violation, ended
from tests.hostile.company import Write

Document = dict[str, Any]

TENANT = "team-a"
MARK = "written-by-the-tenant"
"""Part of every text that the tenant writes: it must not appear in findings of others."""
LATE_SECONDS = 30.0
"""Detects starvation, not slowness: on an idle machine a finding follows within two seconds."""
MEMORY_MIB = 480.0
"""Below the chart's limit of 512Mi."""
HEALTH_SECONDS = 5.0
"""The kubelet's timeout for /healthz."""
SLACK_SECONDS = 3.0
"""How late changes may arrive: an archive is right if the violation was absent this shortly before it."""
KILL_SECONDS = 2.0
"""An import this shortly before a kill -9 may be unknown to the next operator."""
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control, escape and bidirectional characters, and surrogates; tab and line feed are unsafe only where a text has one
line.
"""
SHOWN = 80
HELD = frozenset({"ArchiveHeld", "IdentityConflict"})
"""Conditions that are good when False. A held archive or conflict waits for a person."""

PROMISES = {
    "wrong": "archived although the violation had not ended",
    "missing": "exists in the cluster, but has no active finding",
    "stale": "active, but the violation has ended",
    "double": "two active findings of one violation",
    "differs": "the finding differs from the cluster",
    "triage": "a value that an analyst set was changed",
    "needless": "sent although nothing had changed",
    "invented": "a finding of a violation that the company never had",
    "worded": "the tenant's text in a finding of others",
    "late": f"followed after more than {LATE_SECONDS:.0f} s, or never",
    "memory": f"more than {MEMORY_MIB:.0f} MiB",
    "health": f"/healthz did not answer within {HEALTH_SECONDS:.0f} s",
    "ended": "the operator ended",
    "silent": "the status does not report what was cut or refused",
    "unsafe": "a control character in a text for people",
    "lasting": "the attack has effects after the tenant's objects are deleted",
    "broken": "a check of this scenario failed",
}


@dataclass
class Verdict:
    """For each promise, the events that broke it; and the delays."""

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
    """Seconds from each prompt write to the acknowledged import that follows it; a write without one counts with the
    time waited.
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
class Observations:
    """What an observer saw of the operator during a scenario."""

    memory: float = 0.0
    """Peak resident set, in MiB."""
    health: list[float] = field(default_factory=list)
    """Response times of /healthz in seconds; infinite without an answer."""
    ended: list[str] = field(default_factory=list)
    statements: set[str] = field(default_factory=set)
    """Texts of conditions and Kubernetes events."""
    unsafe: set[str] = field(default_factory=set)
    """Unsafe texts in the log, in metrics and in findings."""


# -- findings -----------------------------------------------------------------------------------------------------


def compare(findings: Iterable[Document], state: ClusterState) -> Verdict:
    """Whether the company's active findings are exactly the violations in the API server, with the same content."""
    active: defaultdict[Violation, list[Document]] = defaultdict(list)
    for finding in findings:
        if finding["RecordState"] == "ACTIVE":
            active[about(finding)].append(finding)
    true = set(state.seen)
    return Verdict(
        missing=[f"{violation}" for violation in sorted(true - active.keys())],
        stale=[f"{violation}" for violation in sorted(active.keys() - true)],
        double=[f"{violation}: {[f['Id'] for f in found]}" for violation, found in active.items() if len(found) > 1],
        differs=[line for violation, found in active.items() for line in _differences(violation, found[0], state)],
    )


def _differences(violation: Violation, finding: Document, state: ClusterState) -> Iterator[str]:
    reported = state.representative(violation)
    if reported is None:
        return
    status, text = finding["Compliance"]["Status"], finding["Description"]
    severity = finding["FindingProviderFields"]["Severity"]["Label"]
    if status != reported.status or reported.severity not in {"", severity} or reported.message not in text:
        yield f"{violation}: {status}, {severity}, {text[-60:]!r}; the cluster has {reported}"


def check(
    *,
    findings: list[Document],
    journal: list[Document],
    state: ClusterState,
    writes: Sequence[Write],
    existed: Mapping[Violation, list[list[float]]],
    triage: Mapping[str, Document],
    now: float,
    kills: Sequence[float] = (),
) -> Verdict:
    """Check one company's cluster. `findings` are all except the tenant's; `journal` and `writes` start after Security
    Hub had all of the company's findings.
    """
    verdict = compare(findings, state)
    known = {finding["Id"]: finding for finding in findings}
    verdict.invented = [f"{about(f)}" for f in findings if about(f) not in existed]
    verdict.worded = [f"{about(f)}: {_around(MARK, f)}" for f in findings if MARK in f"{f}"]
    verdict.triage = [line for finding in findings for line in _triage_changes(finding, triage)]
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
    """Each write is followed by one matching import, and there are no others."""
    remaining = list(entries)
    for write in due:
        follows = [entry for entry in remaining if entry["time"] >= write.at and entry["outcome"] == write.outcome]
        delay = (follows[0]["time"] if follows else now) - write.at
        if write.prompt:
            verdict.delays.append(delay)
        if follows:
            remaining.remove(follows[0])
        if (write.prompt and delay > LATE_SECONDS) or not follows:
            ended_ = "followed" if follows else "had not followed"
            verdict.late.append(f"{write.violation}: {write.outcome} {ended_} after {delay:.1f} s")
    for entry in remaining:
        moment, what = entry["time"], f"{entry['id']} {entry['outcome']} at {entry['time']:.3f}"
        if entry["outcome"] == "archived" and not ended(existed, since=moment - SLACK_SECONDS, until=moment):
            verdict.wrong.append(f"{due[0].violation if due else ''} {what}")
        elif not _excused(entry, entries, kills):
            verdict.needless.append(f"{due[0].violation if due else ''} {what}")


def _excused(entry: Document, entries: list[Document], kills: Sequence[float]) -> bool:
    """Whether a restarted operator may not know of the previous import, because of a kill."""
    earlier = [other["time"] for other in entries if other["time"] < entry["time"]]
    return any(abs(kill - moment) <= KILL_SECONDS and kill < entry["time"] for kill in kills for moment in earlier)


def _triage_changes(finding: Document, triage: Mapping[str, Document]) -> Iterator[str]:
    should_be = triage.get(finding["Id"], {"Workflow": "NEW", "Note": None})
    has = {"Workflow": finding["Workflow"].get("Status"), "Note": finding.get("Note", {}).get("Text")}
    for member, value in should_be.items():
        if has[member] != value:
            yield f"{about(finding)}: {member} is {has[member]!r}, should be {value!r}"


# -- observations --------------------------------------------------------------------------------------------------


def observed(seen: Observations, *, expected_texts: Sequence[str]) -> Verdict:
    """`expected_texts`: each of these patterns must match a condition or an event."""
    slow = [seconds for seconds in seen.health if seconds > HEALTH_SECONDS]
    return Verdict(
        memory=[f"{seen.memory:.0f} MiB"] if seen.memory > MEMORY_MIB else [],
        health=[f"{len(slow)} of {len(seen.health)} times"] if slow else [],
        ended=list(seen.ended),
        silent=[word for word in expected_texts if not any(re.search(word, text) for text in seen.statements)],
        unsafe=[shown(text) for text in sorted(seen.unsafe | {text for text in seen.statements if unsafe(text)})],
    )


def unsafe(text: str, *, lines: bool = False) -> bool:
    """Whether the text could affect a terminal or mislead a reader. `lines`: it may have several lines."""
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
    """The smallest value that at least this share of the values does not exceed; 0 if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def middle(values: Sequence[float]) -> float:
    return median(values) if values else 0.0
