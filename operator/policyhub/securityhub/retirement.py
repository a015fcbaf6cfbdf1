"""Archives the findings of a cluster in Security Hub when a person requests it: which findings, and how.

| finding                                                   | then                                                     |
|-----------------------------------------------------------|----------------------------------------------------------|
| of another identity (by its id and by its ProductFields)  | never changed, not counted                               |
| of the identity, with a uid that was not named            | counted, never changed                                   |
| of the identity and a named uid                           | archived, else unchanged; without analysts' attributes   |
| updated by anyone since it was read                       | Security Hub ignores our update; it counts as changed    |

The last row needs no second reading: Security Hub ignores an import whose UpdatedAt is not later than the stored one,
and ours is one millisecond later than the one that was read. A reading right after an import may be stale, so only
Security Hub itself can compare.

Archived findings are not read again (the filter selects active ones), so a run reads some, archives them, and repeats
this until a reading finds none. It can be interrupted at any time and run again.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from policyhub.clock import WallMs
from policyhub.findings.asff import CLUSTER, CLUSTER_UID, timestamp
from policyhub.findings.identity import prefix
from policyhub.securityhub.batch import MAX_FINDINGS, Finding
from policyhub.securityhub.client import Filters, ImportResult, Page
from policyhub.securityhub.inventory import milliseconds, strip_for_import

PASS = 2_000
"""Findings in memory at once: some 10 MB."""

Kind = tuple[str, str, str]
"""Uid of the cluster, severity, workflow status; empty where the finding has none."""


class Hub(Protocol):
    """The part of HubClient that is used."""

    def find(self, filters: Filters) -> AsyncGenerator[Page, None]: ...

    async def import_findings(self, findings: Sequence[Finding]) -> ImportResult: ...


def archived(finding: Mapping[str, Any], *, updated: WallMs) -> dict[str, Any]:
    """The finding as its provider archives it, without the attributes of analysts and of AWS. Pure."""
    return strip_for_import(finding) | {"RecordState": "ARCHIVED", "UpdatedAt": timestamp(updated)}


def uid_of(finding: Mapping[str, Any]) -> str:
    """The uid of the cluster that wrote it; empty if it states none. Pure."""
    return _text(_mapping(finding.get("ProductFields")), CLUSTER_UID)


def kind_of(finding: Mapping[str, Any]) -> Kind:
    """Pure."""
    return (
        uid_of(finding),
        _text(_mapping(finding.get("Severity")), "Label"),
        _text(_mapping(finding.get("Workflow")), "Status"),
    )


def is_of(finding: Mapping[str, Any], identity: str) -> bool:
    """Whether it is an active finding that policyhub wrote under this identity. Pure.

    `prod` does not match `prod-eu`: a prefix ends with a slash, and the rest contains none.
    """
    start, ident = prefix(identity), finding.get("Id")
    return (
        finding.get("RecordState") == "ACTIVE"
        and isinstance(ident, str)
        and ident.startswith(start)
        and "/" not in ident[len(start) :]
        and _text(_mapping(finding.get("ProductFields")), CLUSTER) == identity
    )


async def active(hub: Hub, identity: str) -> AsyncGenerator[dict[str, Any], None]:
    """The identity's active findings, with any uid. The caller closes it. Raises HubError."""
    filters: Filters = {
        "Id": [{"Value": prefix(identity), "Comparison": "PREFIX"}],
        "RecordState": [{"Value": "ACTIVE", "Comparison": "EQUALS"}],
    }
    async with aclosing(hub.find(filters)) as pages:
        async for page in pages:
            for finding in page.findings:
                if is_of(finding, identity):
                    yield finding


async def count_findings(hub: Hub, identity: str) -> Counter[Kind]:
    """The number of active findings of each kind. Raises HubError."""
    seen: dict[str, Kind] = {}  # two pages may contain the same finding
    async with aclosing(active(hub, identity)) as findings:
        async for finding in findings:
            seen[finding["Id"]] = kind_of(finding)
    return Counter(seen.values())


async def no_rival() -> str:
    """For callers with which no other writer can interfere."""
    return ""


class Retirement:
    """Archives the findings of one identity and these uids. It can run several times and keeps what it archived."""

    def __init__(
        self,
        hub: Hub,
        *,
        identity: str,
        uids: frozenset[str],
        rival: Callable[[], Awaitable[str]] = no_rival,
        on_archived: Callable[[Sequence[Finding]], None] = lambda _: None,
        on_unconfirmed: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        """An empty uid means findings without a uid. `rival` is called before each reading and returns who else writes
        these findings now, which ends the run. `on_archived` gets the findings of each call as sent, `on_unconfirmed`
        the ids that may have been archived, because no answer came.
        """
        self.failed: dict[str, str] = {}
        """Of the last run: id → why Security Hub did not accept the finding."""
        self.changed: set[str] = set()
        """Of the last run: findings that somebody updated after they were read. They were left unchanged."""
        self.updated_at: dict[str, WallMs] = {}
        """Of the last run: id → UpdatedAt as read."""
        self.others: set[str] = set()
        """Of the last run: findings of the identity with a uid that was not named."""
        self._hub = hub
        self._identity = identity
        self._uids = uids
        self._rival = rival
        self._on_archived = on_archived
        self._on_unconfirmed = on_unconfirmed
        self._sent: dict[str, WallMs] = {}
        """Of all runs: id → UpdatedAt that was accepted. GetFindings may show the finding as active for a while."""
        self._tried: set[str] = set()
        """Of the last run: ids that Security Hub accepted."""

    @property
    def archived(self) -> int:
        """How many findings were archived, in all runs."""
        return len(self._sent.keys() - self.changed)

    @property
    def reasons(self) -> Counter[str]:
        """Why findings were not archived: reason → how many."""
        return Counter(self.failed.values())

    async def run(self) -> bool:
        """Run until a reading finds no more; False if somebody else writes these findings now. Raises HubError: what
        was archived before is counted, and it can be run again.
        """
        self.failed, self.changed, self.updated_at, self.others, self._tried = {}, set(), {}, set(), set()
        while not await self._rival():
            if not (chosen := await self._read()):
                return True
            for start in range(0, len(chosen), MAX_FINDINGS):
                await self._send(chosen[start : start + MAX_FINDINGS])
        return False

    async def _read(self) -> list[dict[str, Any]]:
        """Up to `PASS` findings that were not sent in this run."""
        chosen: dict[str, dict[str, Any]] = {}
        async with aclosing(active(self._hub, self._identity)) as findings:
            async for finding in findings:
                ident = finding["Id"]
                if uid_of(finding) not in self._uids:
                    self.others.add(ident)
                    continue
                if ident in self.failed:
                    continue
                updated = milliseconds(finding.get("UpdatedAt"))
                self.updated_at[ident] = max(updated, self.updated_at.get(ident, updated))
                if ident in self._sent and updated < self._sent[ident]:
                    continue  # a stale reading: it was archived since
                if ident in self._tried:
                    self.changed.add(ident)
                else:
                    chosen[ident] = finding
                if len(chosen) >= PASS:
                    break
        return list(chosen.values())

    async def _send(self, part: Sequence[dict[str, Any]]) -> None:
        bodies = {f["Id"]: archived(f, updated=milliseconds(f.get("UpdatedAt")) + 1) for f in part}
        try:
            result = await self._hub.import_findings(list(bodies.values()))
        except BaseException:  # however it ended, the findings may have been archived
            self._on_unconfirmed(bodies)
            raise
        self._tried.update(result.accepted)
        self._sent.update((ident, milliseconds(bodies[ident]["UpdatedAt"])) for ident in result.accepted)
        self.failed.update((ident, f"{why.code}: {why.message}") for ident, why in result.failures.items())
        self._on_unconfirmed([ident for ident, why in result.failures.items() if why.kind == "retry"])
        self._on_archived([bodies[ident] for ident in result.accepted])


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(mapping: Mapping[str, Any], key: str) -> str:
    value = mapping.get(key)
    return value if isinstance(value, str) else ""
