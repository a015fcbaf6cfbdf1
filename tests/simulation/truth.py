"""The true state of the simulated cluster: which violations exist, since when, and what engines have reported of them.

A violation exists while an object exists that a policy applies to and that has the policy's flaw. Whether an engine
has reported it is separate: `claims` are in engines' live reports and lists now, `denied` is when an engine last
reported that an object does not have the violation. No code of the operator is used.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Protocol

from tests.simulation.kinds import REPORTED, Document, Kind
from tests.simulation.rules import GATEKEEPER, Violation, subject
from tests.simulation.server import Server

Subject = tuple[str, str, str]
NEVER = -1e9


class Engine(Protocol):
    @property
    def source(self) -> str: ...

    def violations(self, kind: Kind, document: Document) -> Iterator[tuple[str, str]]: ...

    def claims(self, *, templates: bool = False) -> Iterator[Violation]: ...

    def notices(self) -> Iterator[Violation]:
        """The notices of its truncated lists now: a notice is about the list's own object."""
        ...


class Truth:
    def __init__(self, server: Server, engines: list[Engine]) -> None:
        self.server = server
        self.engines = engines
        self.since: dict[Violation, float] = {}
        """Violations that exist, and since when without a break."""
        self.ended: dict[Violation, float] = {}
        """When the other violations last ended."""
        self.claimed: dict[Violation, float] = {}
        """Violations that engines report now, and since when without a break."""
        self.unclaimed: dict[Violation, float] = {}
        """When engines last stopped reporting the others."""
        self.denied: dict[Violation, float] = {}
        self.silenced: dict[Violation, float] = {}
        """When an engine that writes failures only last failed to evaluate them."""
        self.causes: defaultdict[Subject | tuple[str, str], float] = defaultdict(lambda: NEVER)
        """When something last happened that a finding's text may describe: by subject, or by (source, policy)."""
        self._reported: dict[tuple[str, str, str], tuple[Subject | None, str]] = {}
        self._scheduled = False

    def deny(self, violation: Violation) -> None:
        self.denied[violation] = self.server.loop.elapsed

    def silence(self, violation: Violation) -> None:
        self.silenced[violation] = self.server.loop.elapsed

    def noticed(self, kind: Kind, document: Document) -> None:
        """An object has changed. The state is computed again after all changes of this moment."""
        meta = document["metadata"]
        now = self.server.loop.elapsed
        if kind in REPORTED:
            about = subject(self.server, document)
            if about is not None:
                self.causes[about] = now
            self.mark()
        elif kind.group == "constraints.gatekeeper.sh":
            listed, total = listed_violations(document)
            self._note_report(kind, document, None, f"{json.dumps(listed)}{total > len(listed)}")
        elif "results" in document:
            self._note_report(kind, document, self._scope(document), _content(document))
        elif kind.name in {"ClusterPolicy", "ConstraintTemplate"}:
            self.causes["policy", meta["name"]] = now
            self.mark()

    def _note_report(self, kind: Kind, document: Document, about: Subject | None, content: str) -> None:
        meta = document["metadata"]
        key = kind.path, meta.get("namespace", ""), meta["name"]
        gone = self.server.get(kind, key[1], key[2]) is None
        before = self._reported.get(key)
        if before is not None and about is None:
            about = before[0]
        if before is None or gone or before[1] != content:
            self.mark()
            now = self.server.loop.elapsed
            if about is not None:
                self.causes[about] = now
            if kind.group == "constraints.gatekeeper.sh":
                self.causes[GATEKEEPER, kind.name] = now
        if gone:
            self._reported.pop(key, None)
        else:
            self._reported[key] = about, content

    def _scope(self, document: Document) -> Subject | None:
        scope = document.get("scope")
        kind = next((k for k in REPORTED if scope and k.name == scope["kind"]), None)
        if scope is None or kind is None:
            return None
        stored = self.server.get(kind, scope.get("namespace", ""), scope["name"])
        return subject(self.server, stored.document) if stored is not None else None

    def mark(self) -> None:
        """Schedule an update before anybody reads the state."""
        if not self._scheduled:
            self._scheduled = True
            self.server.loop.call_soon(self._later)

    def _later(self) -> None:
        if self._scheduled:
            self.update()

    def update(self) -> None:
        """Compute the state as of now, if anything has changed."""
        if not self._scheduled:
            return
        self._scheduled = False
        now = self.server.loop.elapsed
        exist = set(self._exist())
        for violation in self.since.keys() - exist:
            del self.since[violation]
            self.ended[violation] = now
        for violation in exist - self.since.keys():
            self.since[violation] = now
        reported = {violation for engine in self.engines for violation in (*engine.claims(), *engine.notices())}
        for violation in self.claimed.keys() - reported:
            del self.claimed[violation]
            self.unclaimed[violation] = now
        for violation in reported - self.claimed.keys():
            self.claimed[violation] = now

    def _exist(self) -> Iterator[Violation]:
        for engine in self.engines:
            yield from engine.notices()
        for kind in REPORTED:
            for document in self.server.all(kind):
                found = [(e.source, *of) for e in self.engines for of in e.violations(kind, document)]
                about = subject(self.server, document) if found else None
                if about is not None:
                    for source, policy, rule in found:
                        yield Violation(source, policy, rule, *about)

    def gone_since(self, violation: Violation) -> float | None:
        """Since when it neither exists nor is reported; None: it does or is."""
        if violation in self.since or violation in self.claimed:
            return None
        return max(self.ended.get(violation, NEVER), self.unclaimed.get(violation, NEVER))

    def reported(self, violation: Violation) -> bool:
        """Whether a live report states it, those of controlled ReplicaSets and Jobs included."""
        return any(violation in engine.claims(templates=True) for engine in self.engines)

    def caused(self, violation: Violation) -> float:
        """When something last happened that the text of its finding may describe."""
        of = violation.kind, violation.namespace, violation.name
        return max(self.causes[key] for key in (of, ("policy", violation.policy), (violation.source, violation.policy)))


def listed_violations(constraint: Document) -> tuple[list[Document], int]:
    """The violations that a constraint lists, and its count."""
    status = constraint.get("status", {})
    return status.get("violations", []), status.get("totalViolations", 0)


def _content(document: Document) -> str:
    """The results of a report without their times."""
    results = [{k: v for k, v in result.items() if k != "timestamp"} for result in document["results"]]
    return json.dumps(results, sort_keys=True)
