"""A model of Security Hub: what it keeps, what it ignores, what it refuses, and what readers see of it.

| what is sent or read                        | then                                                             |
|---------------------------------------------|------------------------------------------------------------------|
| an import that is not later than what is    | ignored, and reported as taken                                   |
| another CreatedAt than the stored one       | the stored one stands                                            |
| a finding whose text holds `REFUSED`        | InvalidInput, for good                                           |
| Workflow, Note and their like               | never sent: asserted at each import                              |
| a read while readers lag                    | an older state, never older than `LAG_MS`                        |

Each change of a finding is a *version*: who knows the newest one has no reason to send the same again.
"""

import copy
from datetime import datetime
from typing import Any, NamedTuple

from policyhub.hub.client import ImportResult
from policyhub.hub.errors import Failure

Finding = dict[str, Any]

REFUSED = "refused"
UID = "policyhub/cluster-uid"
LAG_MS = 14 * 60_000
"""What GetFindings may lag behind; the product counts on less than 15 minutes."""
TRIAGE = {"Workflow", "WorkflowState", "Note", "UserDefinedFields", "VerificationState", "Confidence", "Criticality",
          "Severity", "Types", "RelatedFindings", "Region", "ProcessedAt"}  # fmt: skip
"""What a provider must not send on an update: the analyst's, and AWS's own."""


def milliseconds(timestamp: str) -> int:
    return round(datetime.fromisoformat(timestamp).timestamp() * 1000)


def content(finding: Finding) -> tuple[str, ...]:
    """What a reader sees of a finding: two that are equal here need not be sent twice."""
    fields = finding["ProductFields"]
    told = finding["Title"], finding["Description"], finding["FindingProviderFields"]["Severity"]["Label"]
    return (finding["RecordState"], fields["policyhub/digest"], fields[UID], *told)


class Stored(NamedTuple):
    version: int
    finding: Finding | None


class Hub:
    """One account's findings. Times are Unix milliseconds by a clock that never jumps."""

    def __init__(self) -> None:
        self.stored: dict[str, Stored] = {}
        self.lagging = False
        self._shown: dict[str, Stored] = {}
        self._unseen: list[tuple[int, str, Stored]] = []
        """Changes that readers do not see yet, with their times."""
        self._versions = 0

    def take(self, findings: list[Finding], *, now: int) -> ImportResult:
        """One call of BatchImportFindings."""
        result = ImportResult()
        for body in findings:
            assert not TRIAGE & body.keys(), f"{TRIAGE & body.keys()} belong to the analyst or to AWS"
            assert not any(name.startswith("aws/") for name in body["ProductFields"])
            if REFUSED in body["Description"]:
                result.fail(body["Id"], Failure(code="InvalidInput", message="refused", kind="permanent"))
                continue
            result.accept(body["Id"])
            self._write(body, now=now)
        return result

    def _write(self, body: Finding, *, now: int) -> None:
        old = self.stored.get(body["Id"], Stored(0, None)).finding
        made: Finding = {
            "Workflow": {"Status": "NEW"},
            "Severity": {"Label": "MEDIUM"},
            "Types": ["Software and Configuration Checks"],
            **copy.deepcopy(body),
            "Region": "eu-west-1",
            "ProcessedAt": "2026-01-01T00:00:00Z",
        }
        made["ProductFields"]["aws/securityhub/ProductName"] = "policyhub"
        if old is not None:
            if milliseconds(body["UpdatedAt"]) <= milliseconds(old["UpdatedAt"]):
                return
            made |= {name: old[name] for name in (*TRIAGE, "CreatedAt") if name in old}
        self._put(body["Id"], made, now=now)

    def _put(self, id_: str, finding: Finding | None, *, now: int) -> None:
        self._versions += 1
        self.stored[id_] = stored = Stored(self._versions, finding)
        self._unseen.append((now, id_, stored))
        if not self.lagging:
            self.catch_up(now=now)

    def triage(self, id_: str, status: str, *, now: int) -> None:
        """An analyst writes: no new version, as UpdatedAt does not move."""
        version, finding = self.stored[id_]
        assert finding is not None
        note = {"Text": "known", "UpdatedBy": "analyst"}
        made = {**finding, "Workflow": {"Status": status}, "Note": note, "Severity": {"Label": "LOW"}}
        self.stored[id_] = Stored(version, made)
        self._unseen.append((now, id_, self.stored[id_]))
        if not self.lagging:
            self.catch_up(now=now)

    def lose(self, id_: str, *, now: int) -> None:
        """The finding is deleted (archived ones after 30 days, all when the hub is disabled)."""
        self._put(id_, None, now=now)

    def intrude(self, id_: str, *, now: int) -> None:
        """Another cluster that claims the same identity has written a finding of this id."""
        sample = next((finding for _, finding in self.stored.values() if finding is not None), None)
        if sample is not None and self.stored.get(id_, Stored(0, None)).finding is None:
            self._put(id_, {**sample, "Id": id_, "ProductFields": {**sample["ProductFields"], UID: "other"}}, now=now)

    def withdraw(self, *, now: int) -> None:
        """It has gone, and its findings with it."""
        for id_, (_, finding) in list(self.stored.items()):
            if finding is not None and finding["ProductFields"][UID] == "other":
                self.lose(id_, now=now)

    def catch_up(self, *, now: int, least: int = 0) -> None:
        """Readers see what is at least `least` milliseconds old."""
        while self._unseen and self._unseen[0][0] <= now - least:
            _, id_, stored = self._unseen.pop(0)
            self._shown[id_] = stored

    def read(self, prefix: str = "") -> dict[str, Stored]:
        """What readers see under a prefix."""
        return {i: s for i, s in self._shown.items() if i.startswith(prefix) and s.finding is not None}

    def seen(self, id_: str) -> Stored:
        """What readers see of one id, its absence too."""
        return self._shown.get(id_, Stored(0, None))

    def version(self, id_: str) -> int:
        return self.stored.get(id_, Stored(0, None)).version

    def active(self) -> dict[str, Finding]:
        return {i: s.finding for i, s in self.stored.items() if s.finding and s.finding["RecordState"] == "ACTIVE"}
