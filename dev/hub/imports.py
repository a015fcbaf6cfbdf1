"""BatchImportFindings: which calls are rejected, which findings fail, and how the others are stored.

Order of the checks: the shape of the call; each finding's account, Region and product ARN (one foreign finding makes
the whole call a permission error); whether Security Hub is enabled; then each finding by itself.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from dev.hub import merge
from dev.hub.journal import Journal
from dev.hub.limits import BATCH_BYTES, BATCH_FINDINGS, FINDING_BYTES
from dev.hub.merge import Finding
from dev.hub.schema import checker
from dev.hub.store import Hub, Record, cluster_name, key, record
from dev.hub.switches import Switches
from dev.hub.timestamp import nanoseconds, render
from dev.hub.wire import AwsError, invalid_input, partition

PRODUCT_ARN = re.compile(r"^arn:(aws[a-z-]*):securityhub:([a-z0-9-]+):(\d{12}|):product/([^/\s]+)/([^/\s]+)$")
NOT_ADHERE = "Finding does not adhere to Amazon Finding Format. "


class Importer(msgspec.Struct):
    """The state that imports read and change."""

    switches: Switches
    journal: Journal
    version: Callable[[], int]
    """Returns the next version number of the findings."""
    moved: dict[str, int]
    """Member → how often an import changed it, of the times that should not change: CreatedAt, FirstObservedAt."""

    def run(
        self, hub: Hub, caller: str, body: Any, *, wire_bytes: int, now: float, broken: Callable[[], bool]
    ) -> bytes:
        """Handles one call. `caller` is an ARN; `broken` decides for each finding in turn whether a fault fails it."""
        findings = _findings(body, wire_bytes)
        for finding in findings:
            _permit(finding, hub, caller)
        failed: list[dict[str, str]] = []
        succeeded = 0
        seen: set[str] = set()
        moment = render(now)
        for finding in findings:
            code, message = self._refusal(finding, hub, seen, broken)
            if code:
                name = _name(finding)
                failed.append({"Id": name, "ErrorCode": code, "ErrorMessage": message})
                self._note(hub, now, name, finding, "failed", sent=finding, detail=f"{code}: {message}")
                continue
            if self._store(hub, finding, now=now, moment=moment) or self.switches.ignored_update == "counted":
                succeeded += 1
        return msgspec.json.encode({"FailedCount": len(failed), "SuccessCount": succeeded, "FailedFindings": failed})

    def _refusal(self, finding: Any, hub: Hub, seen: set[str], broken: Callable[[], bool]) -> tuple[str, str]:
        if not hub.enabled:
            return "InvalidAccess", not_subscribed(hub.account)
        if broken():
            return "InternalFailure", "Internal server error"
        errors = _CHECK(finding)
        if errors is not None:
            return "InvalidInput", NOT_ADHERE + ", ".join(f"data{error}" for error in errors[:10])
        if len(msgspec.json.encode(finding)) > FINDING_BYTES:
            return "InvalidInput", f"{NOT_ADHERE}data should NOT be larger than 240 KB"
        name = key(finding["Id"], finding["ProductArn"])
        if self.switches.duplicate_ids == "refused" and name in seen:
            return "InvalidInput", "Another finding of this request has the same Id."
        seen.add(name)
        return "", ""

    def _store(self, hub: Hub, new: Finding, *, now: float, moment: str) -> bool:
        """False if the import is ignored."""
        known = hub.records.get(key(new["Id"], new["ProductArn"]))
        if known is None:
            merged = merge.first(new)
            merge.serve(merged, processed_at=moment, region=hub.region)
            self._put(hub, merged, frozenset(), now)
            self._note(hub, now, new["Id"], merged, "created", sent=new)
            return True
        old = known.finding()
        touched = frozenset(known.touched.split(",")) if known.touched else frozenset[str]()
        merged = merge.again(new, old, touched, keep=self.switches.omitted_fields == "kept")
        merge.serve(merged, processed_at=moment, region=hub.region)
        same = merge.redundant(merged, old)
        late = (nanoseconds(new["UpdatedAt"]) or 0) <= known.updated_ns
        frozen = known.workflow == "SUPPRESSED" and self.switches.suppressed_imports == "ignored"
        if late or frozen:
            reason = "UpdatedAt is not later than the stored one" if late else "suppressed"
            self._note(hub, now, known.id, old, "ignored", sent=new, redundant=same, detail=reason)
            return False
        for name in ("CreatedAt", "FirstObservedAt"):
            if old.get(name) != merged.get(name):
                self.moved[name] = self.moved.get(name, 0) + 1
        self._put(hub, merged, touched, now, identifier=known.id)
        reset = known.workflow != merged["Workflow"].get("Status")
        detail = f"workflow {known.workflow} → NEW" if reset else ""
        outcome = _outcome(known, merged, same=same)
        self._note(hub, now, known.id, merged, outcome, sent=new, redundant=same, detail=detail)
        return True

    def _put(
        self, hub: Hub, finding: Finding, touched: frozenset[str], now: float, *, identifier: str | None = None
    ) -> None:
        if identifier is not None:
            finding["Id"] = identifier  # reuses the stored string instead of another copy
        stored = record(finding, account=hub.account, region=hub.region, touched=touched, version=self.version())
        hub.put(stored, now=now)

    def _note(
        self,
        hub: Hub,
        now: float,
        name: str,
        finding: Any,
        outcome: str,
        *,
        sent: Any,
        redundant: bool = False,
        detail: str = "",
    ) -> None:
        """Adds a journal entry. `finding`: as stored; `sent`: as the provider sent it, for its times."""
        state, cluster = "", ""
        if outcome != "failed":
            state, cluster = finding["RecordState"], cluster_name(finding)
        call = self.journal.next_call
        self.journal.record(
            (now, call, "import", hub.account, hub.region, name, state, outcome, redundant, cluster, detail,
             str(sent.get("CreatedAt", "")), str(sent.get("UpdatedAt", "")))
        )  # fmt: skip


_CHECK = checker("AwsSecurityFinding")


def not_subscribed(account: str) -> str:
    return f"Account {account} is not subscribed to AWS Security Hub"


def _outcome(known: Record, merged: Finding, *, same: bool) -> str:
    if known.record_state != merged["RecordState"]:
        return "archived" if merged["RecordState"] == "ARCHIVED" else "reactivated"
    return "redundant" if same else "changed"


def _findings(body: Any, wire_bytes: int) -> list[Any]:
    if type(body) is not dict:
        raise AwsError("SerializationException", 400, "The request body is no JSON object.")
    unknown = sorted(body.keys() - {"Findings"})
    if unknown:
        raise invalid_input(f"Invalid parameter: unknown member {unknown[0]!r}")
    findings = body.get("Findings")
    if type(findings) is not list:
        raise invalid_input("Invalid parameter: Findings should be array")
    if not findings:
        raise invalid_input("Invalid parameter: Findings should NOT have fewer than 1 items")
    if len(findings) > BATCH_FINDINGS:
        raise invalid_input(f"Invalid parameter: Findings should NOT have more than {BATCH_FINDINGS} items")
    if wire_bytes > BATCH_BYTES:
        raise invalid_input("Invalid parameter: Findings should NOT be larger than 6 MB")
    return findings


def _permit(finding: Any, hub: Hub, caller: str) -> None:
    if type(finding) is not dict:
        raise AwsError("SerializationException", 400, "A finding is no JSON object.")
    arn, account = finding.get("ProductArn"), finding.get("AwsAccountId")
    if type(arn) is str:
        match = PRODUCT_ARN.match(arn)
        if match is None:
            raise invalid_input(f"Invalid parameter: ProductArn {arn[:200]!r} is not the ARN of a product")
        own = (partition(hub.region), hub.region, hub.account, hub.account, "default")
        if match.groups() != own:
            raise _denied(caller, arn)
    if type(account) is str and len(account) == 12 and account.isdigit() and account != hub.account:
        raise _denied(caller, str(arn))


def _denied(caller: str, arn: str) -> AwsError:
    return AwsError(
        "AccessDeniedException",
        403,
        f"User: {caller} is not authorized to perform: securityhub:BatchImportFindings on resource: {arn}",
    )


def _name(finding: Finding) -> str:
    name = finding.get("Id")
    return name if type(name) is str and name.strip() else "unknown"
