"""BatchUpdateFindings: changes by an analyst. The findings page and the control endpoint use the same code.

UpdatedAt does not change. A shared member (Severity, Types, …) that was changed here no longer follows the provider.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from dev.hub.journal import Journal
from dev.hub.limits import FINDING_BYTES
from dev.hub.merge import SHARED, Finding, complete_severity
from dev.hub.schema import checker
from dev.hub.store import Hub, key, record
from dev.hub.timestamp import render
from dev.hub.wire import AwsError, invalid_input

_CHECK = checker("BatchUpdateFindingsRequest")


class Updater(msgspec.Struct):
    """The state that updates read and change."""

    journal: Journal
    version: Callable[[], int]

    def run(self, hub: Hub, body: Any, *, now: float) -> bytes:
        """Handles one call: one set of values for up to 100 findings, each of which can fail."""
        if type(body) is not dict:
            raise AwsError("SerializationException", 400, "The request body is no JSON object.")
        errors = _CHECK(body)
        if errors is not None:
            raise invalid_input("Invalid parameter: " + ", ".join(f"data{error}" for error in errors[:10]))
        values = {name: value for name, value in body.items() if name != "FindingIdentifiers"}
        if not values:
            raise invalid_input("Invalid parameter: data should name at least one member to update")
        processed: list[dict[str, str]] = []
        unprocessed: list[dict[str, Any]] = []
        seen: set[str] = set()
        for identifier in body["FindingIdentifiers"]:
            name = key(identifier["Id"], identifier["ProductArn"])
            error = ("DuplicatedFindingIdentifier", "The finding is named twice.") if name in seen else None
            error = error or self._apply(hub, name, values, now)
            seen.add(name)
            if error is None:
                processed.append(identifier)
            else:
                code, message = error
                unprocessed.append({"FindingIdentifier": identifier, "ErrorCode": code, "ErrorMessage": message})
        return msgspec.json.encode({"ProcessedFindings": processed, "UnprocessedFindings": unprocessed})

    def _apply(self, hub: Hub, name: str, values: dict[str, Any], now: float) -> tuple[str, str] | None:
        known = hub.records.get(name)
        if known is None:
            return "FindingNotFound", "The finding was not found."
        finding = known.finding()
        touched = {*known.touched.split(","), *(member for member in values if member in SHARED)} - {""}
        _change(finding, values, render(now))
        stored = record(
            finding, account=hub.account, region=hub.region, touched=frozenset(touched), version=self.version()
        )
        if len(stored.body) > FINDING_BYTES:
            return "FindingSizeExceeded", "The finding would be larger than 240 KB."
        hub.put(stored, now=now)
        self.journal.record(
            (now, self.journal.next_call, "update", hub.account, hub.region, known.id, stored.record_state, "updated",
             known.finding() == finding, stored.cluster, _described(values), "", "")
        )  # fmt: skip
        return None


def _change(finding: Finding, values: dict[str, Any], moment: str) -> None:
    for member, value in values.items():
        if member == "Note":
            finding["Note"] = {**value, "UpdatedAt": moment}
        elif member == "Severity":
            finding["Severity"] = complete_severity(value)
        elif member == "Workflow":
            finding["Workflow"] = {**finding["Workflow"], **value}
        else:
            finding[member] = value


def _described(values: dict[str, Any]) -> str:
    """The change for a finding's history: the new status and note, and the names of other members."""
    parts: list[str] = []
    for member, value in values.items():
        match member:
            case "Workflow":
                parts.append(f"workflow {value.get('Status', '')}")
            case "Note":
                parts.append(f"note by {value['UpdatedBy']}: {value['Text']}")
            case other:
                parts.append(other)
    return ", ".join(parts)
