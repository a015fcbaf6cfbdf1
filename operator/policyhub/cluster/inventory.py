"""Reads what Security Hub holds under a cluster's prefix: verifies the account, reads the inventory and rereads parts.

| what                                | when                                                                      |
|-------------------------------------|---------------------------------------------------------------------------|
| the account is verified             | before each inventory; nothing is sent until it is verified to be ours    |
| the inventory is read               | at the start, then once a day; after a failure with increasing back-off   |
| findings that were updated around   | a minute after the inventory, and again 14 minutes later: GetFindings     |
| the start are read again            | lags, and another process may have sent findings                          |
| the inventory is skipped            | after 15 minutes without a page of it: new violations are sent, the       |
|                                     | backlog only if no process ever handled the cluster, and only findings    |
|                                     | that were sent since are archived                                         |
| old findings are probed             | every ten minutes: if Security Hub lacks what it acknowledged long ago,   |
|                                     | or was disabled, a new inventory starts at once, because a hub that is    |
|                                     | enabled again is empty                                                    |
| findings of the same cluster under  | after each inventory, with one call; while there are some, also after     |
| another identity are looked for     | each reread and each probe                                                |
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from itertools import islice

import structlog

from policyhub.api.reason import Cause, Reason
from policyhub.clock import UNDATED, WallMs
from policyhub.cluster.aliases import aliases
from policyhub.cluster.site import Site
from policyhub.cluster.snapshot import Aliases
from policyhub.cluster.state import State
from policyhub.findings import asff
from policyhub.findings.identity import prefix
from policyhub.securityhub.errors import AccessLost, HubError
from policyhub.securityhub.inventory import Inventory, from_asff
from policyhub.securityhub.inventory import StoredFinding as Found
from policyhub.sync.ledger import Ledger
from policyhub.sync.lookups import observation_of

log = structlog.get_logger(__name__)

REREADS = (60.0, 840.0)
"""Seconds from the inventory to the second read, and from that to the third."""
REREAD_ATTEMPTS = 5
SHORTLY_MS = 300_000
"""How long before the start the range of the second read begins: the lag of GetFindings, and clock differences."""
OVERLAP_MS = 5_000
"""How long after the start, by our clock, a former leader may have sent findings, by its clock. Later ones are ours,
and too many to be read again: a first sync sends 800 a second."""
PROBE_SECONDS = 600.0
"""Seconds between two probes for findings that should exist: one call each."""
PROBE_SECONDS_EACH = 10.0
"""The same, times the clusters of the hub: all of them together make at most a tenth of a call a second."""
PROBED = 20
"""Findings per probe, which one call can read."""
OLD_MS = 3_600_000
"""GetFindings shows what was acknowledged longer ago than this, if it exists."""
_BACKLOG = "; older ones wait, because Security Hub may already have their findings"
UNAVAILABLE_MS = 15 * 60_000
"""After this long without a page of the inventory, findings are sent without it."""


class InventoryReader:
    """Reads the inventory into one ledger."""

    def __init__(self, site: Site, state: State, ledger: Ledger, *, on_change: Callable[[], None]) -> None:
        """`on_change` is called when it has to be decided again whether findings may be sent: the account was verified,
        or findings were read that may show a conflict with another cluster.
        """
        self.began_at = UNDATED
        """When the last complete inventory began; UNDATED: none is complete."""
        self.evidence_due = False
        """Whether the reports have to be listed again after it, for evidence about findings that nobody reports."""
        self.aliases: Aliases | None = None
        """Active findings of the same cluster under other identities, as last read."""
        self._site = site
        self._state = state
        self._ledger = ledger
        self._on_change = on_change
        self._started = site.wall()
        self._progress_at = site.now()
        """When its last page arrived; before the first one, when this reader was created."""
        self._inventory: Inventory | None = None
        self._disabled = False
        """Whether Security Hub was not enabled at the last check."""
        self._missed: list[tuple[str, WallMs]] = []
        """The findings of the last failed probe, with their UpdatedAt: they do not cause a second inventory. A finding
        that was sent again has a later UpdatedAt, and is probed as before.
        """
        self._again = asyncio.Event()
        """Set: the next inventory must not wait."""

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            if await self._verify():
                try:  # at once: throttling spreads operators of one account that start together
                    await self._read()
                except HubError as error:
                    self._state.reading = self._fault(error, before=self._state.reading)
                else:
                    self._state.reading = None
                    self._disabled = self._is_disabled()  # enabled again: this inventory is enough
                    failures = 0
                    await self._read_aliases()
                    await self._read_recent()
                    await self._rest(self._site.around(self._site.settings.inventory_interval))
                    continue
            failures += 1
            await asyncio.sleep(self._site.backoff(failures))

    def refresh(self) -> None:
        """Called once a second: check whether Security Hub was disabled or enabled again, update the cause of a missing
        inventory, and skip the inventory after `UNAVAILABLE_MS`.
        """
        disabled = self._is_disabled()
        if disabled:
            self._ledger.observed.mark_hub_disabled()
        elif self._disabled:
            self._again.set()
        self._disabled = disabled
        late = self._site.now() - self._progress_at > UNAVAILABLE_MS
        if late:  # also after a complete inventory, whose second read a disabled hub has interrupted
            self._ledger.observed.progress.second_read.end()
        if self._state.inventory is None:
            return
        trouble = self._inventory.problem if self._inventory is not None else None
        refused = self._state.reading
        why = refused.message if refused is not None else trouble.found if trouble else ""
        if late and not self._ledger.observed.progress.unavailable:
            self._ledger.observed.progress.skip_inventory(recheck_backlog=self._site.worked_on)
            log.warning("inventory_unavailable", cluster=self._site.name, message=why)
        if self._ledger.observed.progress.unavailable:
            self._state.inventory = Cause(
                Reason.INVENTORY_UNAVAILABLE,
                f"the findings in Security Hub could not be read for 15 minutes ({why or 'no answer'}). Violations"
                " that are new since the start are sent anyway"
                f"{_BACKLOG if self._site.worked_on else ', and so are older ones'}. Only findings that were sent"
                " since the start are archived",
            )
        elif refused is None and trouble is not None:
            self._state.inventory = Cause(Reason.INVENTORY_DELAYED, trouble.found)

    def _is_disabled(self) -> bool:
        engine, state = self._site.engine, self._state
        return any(
            fault is not None and fault.reason is Reason.NOT_ENABLED
            for fault in (engine.problem, engine.read_problem, state.account, state.reading)
        )

    async def _verify(self) -> bool:
        """Verify that the account is ours. Returns whether that succeeded."""
        try:
            await self._site.hub.verify_account()
        except HubError as error:
            fault = self._fault(error, before=self._state.account)
            if isinstance(error, AccessLost) or self._state.account is not None:  # else: verified before
                self._state.account = fault
            return False
        self._state.account = None
        self._on_change()
        return True

    def _fault(self, error: HubError, *, before: Cause | None) -> Cause:
        fault = error.cause
        if fault != before:
            log.warning("hub_access", cluster=self._site.name, reason=fault.reason.value, message=error.message)
        return fault

    async def _read(self) -> None:
        ledger = self._ledger
        self._again.clear()
        inventory = Inventory(self._site.hub, cluster=ledger.cluster_id, seen=self._compare)
        self._inventory = inventory
        began, started = self._site.wall(), self._site.now()
        root = len(prefix(ledger.cluster_id))
        number = 0
        while not inventory.complete:
            async for part in inventory.parts():
                number += len(part.findings)
                self._progress_at = self._site.now()
                ledger.observed.take_part(
                    part.prefix[root:], map(observation_of, part.findings), now=self._site.now(), began=started
                )
                started = self._site.now()
                await asyncio.sleep(0)
        ledger.finish_inventory()
        self._state.inventory = None
        self.began_at = began
        self.evidence_due = True
        log.info("inventory_read", cluster=self._site.name, findings=number)

    def _compare(self, found: Found) -> None:
        """Called for each finding when its page arrives: a conflict stops sending before any part is complete."""
        ledger, now = self._ledger, self._site.now()
        self._progress_at = now
        if found.cluster_uid not in ledger.observed.uids and not ledger.observed.quarantine.conflict:
            archived = found.record_state == "ARCHIVED"
            ledger.observed.take_foreign(found.id, found.cluster_uid, archived=archived, now=now, inventory=True)
            self._on_change()

    async def _read_recent(self) -> None:
        """Read again what was updated around the start: GetFindings lags, a former leader may have sent findings, and
        another operator with this identity may have started at the same moment. Later updates are our own.
        """
        for seconds in REREADS:
            if await self._needed_within(seconds):
                return
            for attempt in range(1, REREAD_ATTEMPTS + 1):
                try:
                    await self._read_others(self._started)
                except HubError as error:
                    log.info("second_look_failed", cluster=self._site.name, code=error.code)
                    await asyncio.sleep(self._site.backoff(attempt))
                else:
                    break
            self._ledger.observed.progress.end_backlog_recheck()
            if self.aliases is not None:
                await self._read_aliases()

    async def _read_others(self, moment: WallMs) -> None:
        ledger = self._ledger
        filters = {
            "Id": [{"Value": prefix(ledger.cluster_id), "Comparison": "PREFIX"}],
            "UpdatedAt": [{"Start": asff.timestamp(moment - SHORTLY_MS), "End": asff.timestamp(moment + OVERLAP_MS)}],
        }
        async with aclosing(self._site.hub.find(filters)) as pages:
            async for page in pages:
                found = (observation_of(from_asff(finding)) for finding in page.findings)
                ledger.observed.take_read(found, now=self._site.now())
                self._on_change()

    async def _rest(self, seconds: float) -> None:
        """Wait until the next inventory is due, or is needed at once."""
        due = self._site.now() + int(seconds * 1000)
        while (left := (due - self._site.now()) / 1000) > 0:
            probe = max(PROBE_SECONDS, PROBE_SECONDS_EACH * len(self._site.engine.queues))
            if await self._needed_within(min(left, self._site.around(probe))) or not await self._holds():
                return
            if self.aliases is not None:
                await self._read_aliases()

    async def _read_aliases(self) -> None:
        ledger = self._ledger
        try:
            found = await aliases(self._site.hub, identity=ledger.cluster_id, uid=ledger.cluster_uid)
        except HubError as error:
            log.info("identities_not_asked", cluster=self._site.name, code=error.code)
            return
        if found is not None and self.aliases is None:
            log.warning("other_identity", cluster=self._site.name, identities=sorted(found.numbers))
        self.aliases = found

    async def _needed_within(self, seconds: float) -> bool:
        """Wait this long, or until an inventory is needed at once. Returns whether it is."""
        try:
            async with asyncio.timeout(seconds):
                await self._again.wait()
        except TimeoutError:
            return False
        return True

    async def _holds(self) -> bool:
        """Whether Security Hub still holds findings that it acknowledged long ago, and as active; True if it does not
        answer. Somebody else may have archived them: `policyhub retire`, or the operator of another cluster.
        """
        before = self._site.wall() - OLD_MS
        known = ((e.id, e.observed) for e in self._ledger.entries.values() if e.desired and e.observed)
        old = ((id_, k.updated_at) for id_, k in known if k.digest and not k.archived and k.updated_at < before)
        asked = list(islice(old, PROBED))
        if not asked or asked == self._missed:
            return True
        try:
            found = await self._site.hub.by_ids([id_ for id_, _ in asked])
        except HubError as error:
            return not (isinstance(error, AccessLost) and error.kind is Reason.NOT_ENABLED)
        archived = sum(1 for finding in found.values() if finding.get("RecordState") == "ARCHIVED")
        if found and not archived:
            return True
        self._missed = asked
        log.warning("findings_missing", cluster=self._site.name, asked=len(asked), archived=archived)
        return False
