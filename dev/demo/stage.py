"""The parts of the demo (cluster, hub, operator, company) and its measurements.

Figures come from the local hub's journal, the operator's metrics and the kernel; nothing is estimated. Expectations
that are not met are recorded, and the demo then exits with 1.
"""

import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dev import testbed
from dev.cluster import Cluster
from dev.cluster.client import FIELD_MANAGER
from dev.company import Company, Violation, violations
from dev.company.truth import violation_in
from dev.demo.screen import Screen
from dev.hub.process import HubProcess

Document = dict[str, Any]

PATIENCE = 60.0
"""Time-out of each wait in seconds: most take one or two on an idle machine."""
WRITERS = 4
BATCH = 100
"""Maximum number of findings in a call of BatchImportFindings."""


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
    operator: testbed.Operator
    company: Company
    documents: dict[str, Document] = field(default_factory=dict)
    """Reports and constraints in the cluster, by API path."""
    written: dict[str, float] = field(default_factory=dict)
    """When each of them was last written (Unix seconds)."""
    archived: set[Violation] = field(default_factory=set)
    """Violations whose findings should have been archived; some are active again since."""
    kept: set[Violation] = field(default_factory=set)
    """Violations that no list contains any more, whose findings must stay active: that is no evidence."""
    failures: list[str] = field(default_factory=list)
    suppressed: Violation | None = None
    """The violation whose finding an analyst suppressed."""
    expected: Callable[[], set[Violation]] | None = None
    """The expected active findings, if they do not follow from `documents`."""
    patience: float = PATIENCE
    """Seconds."""
    pace: float = 0.05
    """Seconds between two checks during a wait."""
    stamp: int = 0

    # -- expectations ---------------------------------------------------------------------------------------------

    def expect(self, sentence: str, *, holds: bool) -> None:
        """Records and prints the sentence if it does not hold."""
        if not holds:
            self.failures.append(sentence)
            self.screen.fail(sentence)

    def until(self, why: str, holds: Callable[[], bool], *, doing: Callable[[], str] | None = None) -> float:
        """Waits, and prints why and the progress; returns the seconds. Raises testbed.OperatorError."""
        with self.screen.waiting(why) as update:

            def look() -> bool:
                done = holds()
                update(doing() if doing else why)
                return done

            return testbed.until(look, seconds=self.patience, what=why, operator=self.operator, every=self.pace)

    # -- the engines ----------------------------------------------------------------------------------------------

    def now(self) -> int:
        """The time of the next write by an engine: always at least a second after the last."""
        self.stamp = max(self.stamp + 1, int(time.time()))
        return self.stamp

    def write(self, documents: Iterable[Document]) -> None:
        """Writes as the engines do; returns when the API server has stored everything."""
        with ThreadPoolExecutor(WRITERS) as threads:
            for done in [threads.submit(self._write, document) for document in documents]:
                done.result()

    def write_meanwhile(self, documents: Iterable[Document]) -> list[Future[None]]:
        """Starts to write in the background."""
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

    def wanted(self) -> set[Violation]:
        """The violations that should have an active finding."""
        if self.expected is not None:
            return self.expected()
        return violations(self.documents.values()) | self.kept

    def kubectl_get(self, path: str) -> list[dict[str, str]]:
        """Prints the table that `kubectl get` prints; returns its rows."""
        names, rows = self.cluster.table(path)
        header, cells = [name.upper() for name in names], [[str(cell) for cell in row] for row in rows]
        self.screen.table(header, cells)
        return [dict(zip(header, row, strict=True)) for row in cells]

    # -- the hub --------------------------------------------------------------------------------------------------

    def mark(self) -> Mark:
        entries, asked = self.hub.journal(), self.hub.calls()
        return Mark(entries[-1]["seq"] if entries else 0, asked[-1]["call"] if asked else 0)

    def sent(self, mark: Mark) -> list[Document]:
        """Findings that the operator has sent since the mark."""
        return [entry for entry in self.hub.journal(mark.entry) if entry["kind"] == "import"]

    def asked(self, mark: Mark, operation: str = "") -> list[Document]:
        """AWS calls since the mark, of one operation or of all."""
        return [call for call in self.hub.calls(mark.call) if operation in {"", call["operation"]}]

    def findings(self, state: str = "") -> dict[Violation, Document]:
        filters = {"record_state": state} if state else {}
        return {violation_in(finding): finding for finding in self.hub.findings(**filters)}

    def delays(self, mark: Mark) -> list[float]:
        """For each finding sent since the mark: seconds from the report's write to the hub's entry, sorted."""
        ids = {finding["Id"]: violation for violation, finding in self.findings().items()}
        first: dict[Violation, float] = {}
        for path, document in self.documents.items():
            for violation in violations([document]):
                first[violation] = min(first.get(violation, math.inf), self.written[path])
        return sorted(entry["time"] - first[ids[entry["id"]]] for entry in self.sent(mark) if ids[entry["id"]] in first)


def least_calls(findings: int) -> int:
    """The minimum number of calls for so many findings."""
    return math.ceil(findings / BATCH)


def quantile(values: list[float], share: float) -> float:
    """Of sorted values; 0 if there are none."""
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0
