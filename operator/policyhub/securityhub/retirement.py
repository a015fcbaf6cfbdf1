"""Archiving what Security Hub holds of a cluster, by a person's word: what is touched, and how.

| finding                                                   | then                                                     |
|-----------------------------------------------------------|----------------------------------------------------------|
| of another identity (by its id and by its ProductFields)  | never touched, not counted                               |
| of the identity, with a uid that was not named            | counted, never touched                                   |
| of the identity and a named uid                           | archived, whole as it was read; nothing of the analysts' |
| updated by anybody since it was read                      | Security Hub ignores ours, and it is counted as changed  |

The last row needs no second reading: an import whose UpdatedAt is not later than the stored one is ignored, and ours is
one millisecond later than the one that was read. A reading taken right after an import may be stale, so only the
service itself can compare.

What was archived is not read again (the filter asks for active findings), so a run reads some, archives them, and
begins anew until a reading brings nothing: it can be interrupted anywhere and run again.
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
"""Findings that are held at once: some 10 MB."""

Kind = tuple[str, str, str]
"""Uid of the cluster, severity, workflow status; empty where the finding has none."""


class Hub(Protocol):
    """The part of HubClient that is used."""

    def find(self, filters: Filters) -> AsyncGenerator[Page, None]: ...

    async def import_findings(self, findings: Sequence[Finding]) -> ImportResult: ...


def archived(finding: Mapping[str, Any], *, updated: WallMs) -> dict[str, Any]:
    """The finding as its provider would archive it: nothing of the analysts' or of AWS's is sent. Pure."""
    return strip_for_import(finding) | {"RecordState": "ARCHIVED", "UpdatedAt": timestamp(updated)}


def uid_of(finding: Mapping[str, Any]) -> str:
    """Of the cluster that wrote it; empty where it does not say. Pure."""
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

    `prod` is no beginning of `prod-eu`: a prefix ends with a slash, and what follows it holds none.
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
    """The identity's active findings, whoever's. Close it. Raises HubError."""
    filters: Filters = {
        "Id": [{"Value": prefix(identity), "Comparison": "PREFIX"}],
        "RecordState": [{"Value": "ACTIVE", "Comparison": "EQUALS"}],
    }
    async with aclosing(hub.find(filters)) as pages:
        async for page in pages:
            for finding in page.findings:
                if is_of(finding, identity):
                    yield finding


async def census(hub: Hub, identity: str) -> Counter[Kind]:
    """How many active findings there are of each kind. Raises HubError."""
    seen: dict[str, Kind] = {}  # two pages may show the same one
    async with aclosing(active(hub, identity)) as findings:
        async for finding in findings:
            seen[finding["Id"]] = kind_of(finding)
    return Counter(seen.values())


async def nobody() -> str:
    """Nobody else can begin to write."""
    return ""


class Retirement:
    """Archives the findings of one identity and these uids. What it did is kept over several runs."""

    def __init__(
        self,
        hub: Hub,
        *,
        identity: str,
        uids: frozenset[str],
        rival: Callable[[], Awaitable[str]] = nobody,
        on_archived: Callable[[Sequence[Finding]], None] = lambda _: None,
        on_doubt: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        """An empty uid stands for findings that carry none. `rival` is asked before each reading: who else writes
        these findings by now, which ends it. `on_archived` is told of each call's, as they were sent, `on_doubt` of ids
        that may have been archived: no answer came.
        """
        self.failed: dict[str, str] = {}
        """Of the last run, by id: the reasons of what was not taken."""
        self.changed: set[str] = set()
        """Of the last run: updated by somebody after they had been read. They were left as they are."""
        self.shown: dict[str, WallMs] = {}
        """Of the last run: UpdatedAt of what was read, by id."""
        self.others: set[str] = set()
        """Of the last run: findings of the identity with a uid that was not named."""
        self._hub = hub
        self._identity = identity
        self._uids = uids
        self._rival = rival
        self._on_archived = on_archived
        self._on_doubt = on_doubt
        self._sent: dict[str, WallMs] = {}
        """UpdatedAt that was accepted, by id, in all runs: GetFindings may show the finding as active for a while."""
        self._tried: set[str] = set()
        """Of the last run: what was sent."""

    @property
    def archived(self) -> int:
        """Findings that Security Hub took, in all runs."""
        return len(self._sent.keys() - self.changed)

    @property
    def reasons(self) -> Counter[str]:
        """Why findings were not archived, with their numbers."""
        return Counter(self.failed.values())

    async def run(self) -> bool:
        """Until a reading brings nothing more; False where somebody else writes them now. Raises HubError; then what
        was archived is counted, and it may be run again.
        """
        self.failed, self.changed, self.shown, self.others, self._tried = {}, set(), {}, set(), set()
        while not await self._rival():
            if not (chosen := await self._read()):
                return True
            for start in range(0, len(chosen), MAX_FINDINGS):
                await self._send(chosen[start : start + MAX_FINDINGS])
        return False

    async def _read(self) -> list[dict[str, Any]]:
        """So many that have not been tried in this run."""
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
                self.shown[ident] = max(updated, self.shown.get(ident, updated))
                if ident in self._sent and updated < self._sent[ident]:
                    continue  # as it was before it was archived
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
        except BaseException:  # whatever ended it, it may have been answered to nobody
            self._on_doubt(bodies)
            raise
        self._tried.update(result.accepted)
        self._sent.update((ident, milliseconds(bodies[ident]["UpdatedAt"])) for ident in result.accepted)
        self.failed.update((ident, f"{why.code}: {why.message}") for ident, why in result.failures.items())
        self._on_doubt([ident for ident, why in result.failures.items() if why.kind == "retry"])
        self._on_archived([bodies[ident] for ident in result.accepted])


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(mapping: Mapping[str, Any], key: str) -> str:
    value = mapping.get(key)
    return value if isinstance(value, str) else ""
