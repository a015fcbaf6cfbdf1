"""Security Hub in memory: what it stores, which reads lag, what it does to findings, and how it fails.

The rules are those of facts/security-hub.md: an import whose UpdatedAt is not later than the stored one is accepted and
ignored; a finding that returns from ARCHIVED has its NOTIFIED or RESOLVED set to NEW; top-level Severity, Workflow,
Note … are the customer's once changed; active findings are forgotten 90 days, archived ones 30 days after their last
update. The journal has every import of every finding.
"""

import asyncio
import copy
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from policyhub.api.reason import Reason
from policyhub.securityhub.client import ImportResult
from policyhub.securityhub.errors import AccessLost, Failure, Throttled, Unavailable
from tests.simulation.kinds import Document
from tests.simulation.loop import Loop

ACCOUNT, REGION = "111122223333", "eu-west-1"
PRODUCT_ARN = f"arn:aws:securityhub:{REGION}:{ACCOUNT}:product/{ACCOUNT}/default"
TIMES = ("CreatedAt", "FirstObservedAt", "LastObservedAt", "UpdatedAt")
DAY_SECONDS = 86_400.0
VERSIONS = 12
"""Versions of each finding that are kept for reads that lag."""


@dataclass(frozen=True)
class Fault:
    """What requests meet from `start` to `end`: `throttle` and `lose` (each request by chance; `lose`: the import is
    written, and the answer is lost), `fail` (single findings, by id), `down` (no request succeeds), `disabled`,
    `unread` (GetFindings is refused), `slow` (each read takes `amount` seconds and returns the state at its start),
    `lag` (reads are `amount` seconds behind).
    """

    how: str
    start: float
    end: float
    amount: float = 0.5


@dataclass(frozen=True)
class Import:
    """One finding of one import request."""

    at: float
    id: str
    outcome: str
    """new, archived, reactivated, changed, same (only times differ), ignored, failed."""
    body: Document
    before: Document | None
    """The stored finding before the import."""
    answered: bool
    call: int

    @property
    def line(self) -> str:
        return f"{self.at:.3f} {self.id[-8:]} {self.outcome} {self.body['UpdatedAt']} {self.body['Title']}"


class Hub:
    def __init__(self, loop: Loop, rng: random.Random) -> None:
        self.loop = loop
        self.rng = rng
        self.stored: dict[str, Document] = {}
        self.journal: list[Import] = []
        self.faults: list[Fault] = []
        self.calls = 0
        self.emptied = self.disabled_seen = -1.0
        """When it was emptied, and when it last answered that it was not enabled."""
        self.on_import: Callable[[Import], None] = lambda _import: None
        self.customers: dict[str, Document] = {}
        """What analysts and automation rules have set, by finding and attribute: the expected values now."""
        self._versions: dict[str, list[tuple[float, Document | None]]] = {}

    def fault(self, how: str) -> Fault | None:
        now = self.loop.elapsed
        return next((t for t in self.faults if t.how == how and t.start <= now < t.end), None)

    # -- imports --------------------------------------------------------------------------------------------------

    async def take(self, findings: Sequence[Document]) -> ImportResult:
        """BatchImportFindings."""
        self.calls += 1
        call = self.calls
        await asyncio.sleep(self.rng.uniform(0.1, 0.5))
        self._raise()
        throttle = self.fault("throttle")
        if throttle is not None and self.rng.random() < throttle.amount:
            raise Throttled("too many requests", code="TooManyRequestsException")
        lose, fail = self.fault("lose"), self.fault("fail")
        lost = lose is not None and self.rng.random() < lose.amount
        result = ImportResult()
        for body in findings:
            id_ = body["Id"]
            if fail is not None and self.rng.random() < fail.amount:
                self._note(body, "failed", self.stored.get(id_), answered=not lost, call=call)
                result.fail(id_, Failure("InternalFailure", "try again", "retry"))
                continue
            self._store(body, answered=not lost, call=call)
            result.accept(id_)
        if lost:
            await asyncio.sleep(self.rng.uniform(1, 60))
            raise Unavailable("no answer", code="ReadTimeoutError")
        await asyncio.sleep(self.rng.uniform(0.05, 0.2))
        return result

    def _raise(self) -> None:
        self._forget()
        if self.fault("down") is not None:
            raise Unavailable("500", code="InternalException")
        if self.fault("disabled") is not None:
            self.disabled_seen = self.loop.elapsed
            raise AccessLost(Reason.NOT_ENABLED, "not subscribed to AWS Security Hub", code="InvalidAccessException")

    def _store(self, body: Document, *, answered: bool, call: int) -> None:
        old = self.stored.get(body["Id"])
        outcome = outcome_of(body, old)
        if outcome != "ignored":
            self._write(body["Id"], self._merged(body, old, outcome))
        self._note(body, outcome, old, answered=answered, call=call)

    def _merged(self, body: Document, old: Document | None, outcome: str) -> Document:
        own = copy.deepcopy(body)
        set_ = self.customers.get(body["Id"], {})
        if outcome == "reactivated" and set_.get("Workflow", {}).get("Status") in {"NOTIFIED", "RESOLVED"}:
            set_["Workflow"] = {"Status": "NEW"}
        return {
            "Workflow": {"Status": "NEW"},
            "Severity": own["FindingProviderFields"]["Severity"],
            **own,
            **copy.deepcopy(set_),
            "Region": REGION,
            "CreatedAt": (old or body)["CreatedAt"],
        }

    def _note(self, body: Document, outcome: str, old: Document | None, *, answered: bool, call: int) -> None:
        entry = Import(self.loop.elapsed, body["Id"], outcome, body, old, answered=answered, call=call)
        self.journal.append(entry)
        self.on_import(entry)

    def _write(self, id_: str, document: Document | None) -> None:
        versions = self._versions.setdefault(id_, [])
        versions.append((self.loop.elapsed, document))
        del versions[:-VERSIONS]
        if document is None:
            self.stored.pop(id_, None)
        else:
            self.stored[id_] = document

    # -- reads ----------------------------------------------------------------------------------------------------

    async def read(self, filters: Mapping[str, Any]) -> list[Document]:
        """GetFindings: the findings as they were a while ago."""
        await asyncio.sleep(self.rng.uniform(0.1, 0.4))
        self._raise()
        if self.fault("unread") is not None:
            raise AccessLost(
                Reason.ACCESS_DENIED, "not authorized: securityhub:GetFindings", code="AccessDeniedException"
            )
        throttle = self.fault("throttle")
        if throttle is not None and self.rng.random() < throttle.amount:
            raise Throttled("too many requests", code="TooManyRequestsException")
        slow = self.fault("slow")
        asked = self.loop.elapsed
        await asyncio.sleep(self.page_seconds())
        lag = self.fault("lag")
        moment = (asked if slow is not None else self.loop.elapsed) - (lag.amount if lag is not None else 0.0)
        shown = (self._at(id_, moment) for id_ in sorted(self._versions))
        return [msgspec.json.decode(msgspec.json.encode(f)) for f in shown if f is not None and _fits(f, filters)]

    def page_seconds(self) -> float:
        slow = self.fault("slow")
        return slow.amount if slow is not None else 0.4

    def _at(self, id_: str, moment: float) -> Document | None:
        found = None
        for at, document in self._versions[id_]:
            if at <= moment:
                found = document
        return found

    # -- users ---------------------------------------------------------------------------------------------------------

    def customize(self, id_: str, **values: Any) -> None:
        """BatchUpdateFindings, by an analyst or an automation rule."""
        if id_ in self.stored:
            self.customers.setdefault(id_, {}).update(copy.deepcopy(values))
            self._write(id_, {**self.stored[id_], **copy.deepcopy(values)})

    def empty(self) -> None:
        """Delete all findings: Security Hub was disabled and enabled again."""
        self.emptied = self.loop.elapsed
        for id_ in list(self.stored):
            self._write(id_, None)
        self.customers.clear()

    def _forget(self) -> None:
        now = self.loop.wall_ms / 1000
        for id_, finding in list(self.stored.items()):
            days = 90 if finding["RecordState"] == "ACTIVE" else 30
            if now - seconds_of(finding["UpdatedAt"]) > days * DAY_SECONDS:
                self._write(id_, None)
                self.customers.pop(id_, None)

    def active(self) -> list[Document]:
        return [finding for finding in self.stored.values() if finding["RecordState"] == "ACTIVE"]


def outcome_of(body: Document, old: Document | None) -> str:
    if old is None:
        return "new"
    if body["UpdatedAt"] <= old["UpdatedAt"]:
        return "ignored"
    if body["RecordState"] != old["RecordState"]:
        return "archived" if body["RecordState"] == "ARCHIVED" else "reactivated"
    return "changed" if any(old.get(name) != value for name, value in body.items() if name not in TIMES) else "same"


def seconds_of(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _fits(finding: Document, filters: Mapping[str, Any]) -> bool:
    for name, conditions in filters.items():
        value = finding[name]
        if not any(_meets(value, condition) for condition in conditions):
            return False
    return True


def _meets(value: Any, condition: Mapping[str, str]) -> bool:
    if "Key" in condition:
        return bool(value.get(condition["Key"]) == condition["Value"])
    if "Start" in condition:
        return seconds_of(condition["Start"]) <= seconds_of(value) <= seconds_of(condition["End"])
    if condition["Comparison"] in {"PREFIX", "PREFIX_NOT_EQUALS"}:
        return bool(value.startswith(condition["Value"])) == (condition["Comparison"] == "PREFIX")
    return bool(value == condition["Value"])
