"""The condition InSync of a MonitoredCluster: whether Security Hub matches the cluster, and if not, why.

It stays True during the seconds that a new change needs to be sent: it shows backlog, not single changes.

In mode DryRun it is False with the reason DryRun, and its message counts what mode Sync would send: nothing keeps
Security Hub up to date. Only InSync treats that as a problem: Ready is True (`conditions`), and the alert
PolicyhubNotInSync excludes the reason. A failure that keeps the numbers from being known (a refused inventory, a failed
listing) is a problem in this mode, too.

Pure: no I/O, no clock.
"""

from collections.abc import Mapping

from policyhub.api.reason import Cause, Reason
from policyhub.clock import SteadyMs
from policyhub.cluster import conflict
from policyhub.cluster.formatting import counted
from policyhub.cluster.snapshot import Findings, Snapshot
from policyhub.sync.plan import Change

BACKLOG_MS = 30_000
"""A finding that waits longer than this is backlog."""

_WOULD: Mapping[str, tuple[Change, ...]] = {
    "create": (Change.NEW,),
    "reopen": (Change.REACTIVATED,),
    "update": (Change.CHANGED, Change.REFRESHED),
    "archive": (Change.ARCHIVED,),
}


def fault(seen: Snapshot, *, was_in_sync: bool, now: SteadyMs) -> Cause | None:
    """Why InSync is not True; None: it is."""
    found = seen.findings
    if found is None:
        unconnected = seen.connection
        if unconnected is not None and unconnected.reason.untried:
            return unconnected
        return Cause(Reason.NOT_CONNECTED, "the cluster has not been read yet")
    if (barred := _barred(seen)) is not None:
        return barred
    # findings are sent without an inventory: seen.inventory says what that means, HubUnreachable does not
    given_up = seen.inventory is not None and seen.inventory.reason is Reason.INVENTORY_UNAVAILABLE
    if seen.account_fault is not None or (seen.reading is not None and not given_up):
        return Cause(Reason.HUB_UNREACHABLE, "Security Hub does not accept findings, or does not return them")
    if seen.inventory is not None:
        return seen.inventory
    if not found.reports_listed:
        return Cause(Reason.LISTING, "the first listing of all reports is not complete yet")
    if seen.mode == "DryRun":
        would = would_send(seen.preview)
        if would is None:
            return Cause(Reason.LISTING, "the findings that mode Sync would send have not been counted yet")
        changes = ", ".join(f"{number} to {change}" for change, number in would.items() if number)
        message = f"mode DryRun: nothing is sent. Findings that mode Sync would send now: {changes or 'none'}"
        return Cause(Reason.DRY_RUN, message)
    return _unsent(found, was_in_sync=was_in_sync, now=now)


def would_send(preview: Mapping[Change, int] | None) -> dict[str, int] | None:
    """What mode Sync would send, by the verbs of the status; None: not counted yet."""
    if preview is None:
        return None
    return {name: sum(preview.get(change, 0) for change in changes) for name, changes in _WOULD.items()}


def would_archive(seen: Snapshot) -> str:
    """How many findings mode NoArchive does not archive, for a message; empty: none."""
    kept = seen.findings.mode_holds if seen.findings is not None else 0
    return f"; {counted(kept, 'finding')} would be archived in mode Sync" if kept else ""


def _barred(seen: Snapshot) -> Cause | None:
    """Why nothing of this cluster is sent, whatever its findings are; None: it may be sent."""
    if conflict.barring(seen) is not None:
        return Cause(Reason.IDENTITY_CONFLICT, "nothing is sent while another cluster uses this identity")
    if seen.unlisted:
        return Cause(Reason.STARTING, "nothing is sent before all MonitoredClusters have been listed")
    if seen.restarts:
        return Cause(
            Reason.STARTING,
            "an older MonitoredCluster of another operator, with the same identity and hub, sent these findings until"
            " now. This one starts again within a minute, and nothing is sent before",
        )
    return None


def _unsent(found: Findings, *, was_in_sync: bool, now: SteadyMs) -> Cause | None:
    """Why some findings in Security Hub do not match the cluster; None: all match."""
    if found.rejected:
        refused = counted(found.rejected, "finding")
        message = f"Security Hub rejects {refused} with their current content; the log names each"
        return Cause(Reason.FINDINGS_REJECTED, message)
    if found.quarantined:
        one = found.quarantined == 1
        return Cause(
            Reason.FINDINGS_QUARANTINED,
            f"{counted(found.quarantined, 'finding')} of this cluster {'is' if one else 'are'} not sent: in Security"
            f" Hub, {'its id belongs' if one else 'their ids belong'} to another cluster",
        )
    if found.pending:
        oldest = found.oldest_pending
        if not was_in_sync or (oldest is not None and now - oldest > BACKLOG_MS):
            waits = "waits" if found.pending == 1 else "wait"
            return Cause(Reason.PENDING, f"{counted(found.pending, 'change')} {waits} for Security Hub")
    return None
