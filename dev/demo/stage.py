"""What the demo stands on, and how it measures: cluster, hub, operator, company, and the journal of what was sent.

Figures come from the local hub's journal, the operator's metrics and the kernel; nothing is estimated. What does not
hold is remembered, and the demo ends with a non-zero code.
"""

import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dev import stand
from dev.cluster import Cluster
from dev.cluster.client import FIELD_MANAGER
from dev.company import Call, Company, calls
from dev.company.truth import told
from dev.demo.screen import Screen
from dev.hub.process import HubProcess

Document = dict[str, Any]

PATIENCE = 60.0
"""Seconds that anything may take before the demo gives up: it takes one or two on an idle machine."""
WRITERS = 4
BATCH = 100
"""The most findings that one call of BatchImportFindings takes."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment in the hub's journal."""

    entry: int
    call: int


@dataclass
class Stage:
    screen: Screen
    stack: ExitStack
    folder: Path
    hub: HubProcess
    cluster: Cluster
    operator: stand.Operator
    company: Company
    documents: dict[str, Document] = field(default_factory=dict)
    """What the engines have said, by API path: the cluster as it is now."""
    written: dict[str, float] = field(default_factory=dict)
    """When each of them was sent to the API server (Unix seconds)."""
    archived: set[Call] = field(default_factory=set)
    """What should have been archived by now, or later came back."""
    kept: set[Call] = field(default_factory=set)
    """What nobody lists any more, and must stay active because that is no evidence."""
    failures: list[str] = field(default_factory=list)
    suppressed: Call | None = None
    """What an analyst has decided to live with."""
    expected: Callable[[], set[Call]] | None = None
    """What Security Hub should hold as active, where that is not what `documents` say."""
    patience: float = PATIENCE
    """Seconds."""
    pace: float = 0.05
    """Seconds between two looks at what is waited for."""
    stamp: int = 0

    # -- expectations ---------------------------------------------------------------------------------------------

    def expect(self, sentence: str, *, holds: bool) -> None:
        """Remember and say what does not hold."""
        if not holds:
            self.failures.append(sentence)
            self.screen.fail(sentence)

    def until(self, why: str, holds: Callable[[], bool], *, doing: Callable[[], str] | None = None) -> float:
        """Wait, saying why and how it goes; returns the seconds. Raises stand.StandError."""
        with self.screen.waiting(why) as update:

            def look() -> bool:
                done = holds()
                update(doing() if doing else why)
                return done

            return stand.until(look, seconds=self.patience, what=why, operator=self.operator, every=self.pace)

    # -- the engines ----------------------------------------------------------------------------------------------

    def now(self) -> int:
        """The next time that an engine writes: always a later second than the one before."""
        self.stamp = max(self.stamp + 1, int(time.time()))
        return self.stamp

    def write(self, documents: Iterable[Document]) -> None:
        """As the engines do; returns when the API server has all of it."""
        with ThreadPoolExecutor(WRITERS) as threads:
            for done in [threads.submit(self._write, document) for document in documents]:
                done.result()

    def write_meanwhile(self, documents: Iterable[Document]) -> list[Future[None]]:
        """Begin to write, and return at once."""
        threads = ThreadPoolExecutor(WRITERS)
        self.stack.callback(threads.shutdown, cancel_futures=True)
        return [threads.submit(self._write, document) for document in documents]

    def delete(self, *documents: Document) -> None:
        for document in documents:
            path = self.cluster.path(document)
            self.cluster.request("DELETE", path)
            self.documents.pop(path, None)

    def _write(self, document: Document) -> None:
        path = self.cluster.path(document)
        self.written[path] = time.time()
        if "status" in document and path in self.documents:  # an audit writes nothing else
            self.cluster.request(
                "PATCH", f"{path}/status", document, patch="apply", fieldManager=FIELD_MANAGER, force="true"
            )
        else:
            self.cluster.apply([document])
        self.documents[path] = document

    def wanted(self) -> set[Call]:
        """What Security Hub should hold as active."""
        if self.expected is not None:
            return self.expected()
        return calls(self.documents.values()) | self.kept

    # -- the hub --------------------------------------------------------------------------------------------------

    def mark(self) -> Mark:
        entries, asked = self.hub.journal(), self.hub.calls()
        return Mark(entries[-1]["seq"] if entries else 0, asked[-1]["call"] if asked else 0)

    def sent(self, mark: Mark) -> list[Document]:
        """Findings that the operator sent since."""
        return [entry for entry in self.hub.journal(mark.entry) if entry["kind"] == "import"]

    def asked(self, mark: Mark, operation: str = "") -> list[Document]:
        """AWS calls since; of one operation where it is named."""
        return [call for call in self.hub.calls(mark.call) if operation in {"", call["operation"]}]

    def findings(self, state: str = "") -> dict[Call, Document]:
        filters = {"record_state": state} if state else {}
        return {told(finding): finding for finding in self.hub.findings(**filters)}

    def delays(self, mark: Mark) -> list[float]:
        """For each finding sent since: seconds from the write of the report to the hub's entry, sorted."""
        ids = {finding["Id"]: call for call, finding in self.findings().items()}
        first: dict[Call, float] = {}
        for path, document in self.documents.items():
            for call in calls([document]):
                first[call] = min(first.get(call, math.inf), self.written[path])
        return sorted(entry["time"] - first[ids[entry["id"]]] for entry in self.sent(mark) if ids[entry["id"]] in first)


def least_calls(findings: int) -> int:
    """The fewest calls that so many findings can be sent in."""
    return math.ceil(findings / BATCH)


def quantile(values: list[float], share: float) -> float:
    """Of sorted values; 0 where there are none."""
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0
