"""What is sent for one finding: the body to import, and the `ObservedFinding` once it is acknowledged.

A body has `CreatedAt`, which a stored finding keeps, and `UpdatedAt`, which only grows. A finding with a representative
claim is rendered again. A finding without one is sent as it was read, archived. Pure.
"""

from dataclasses import dataclass
from typing import Any

from policyhub.clock import WallMs
from policyhub.findings import asff
from policyhub.sync.cluster_queue import ClusterQueue
from policyhub.sync.entry import Entry, ObservedFinding, result_and_severity
from policyhub.sync.plan import ARCHIVE_REJECTED, Change, next_update


@dataclass(slots=True)
class Shipment:
    """One finding of a call."""

    queue: ClusterQueue
    entry: Entry
    change: Change
    observed: ObservedFinding
    """What Security Hub holds once it is acknowledged."""
    body: dict[str, Any]
    size: int = 0
    """Bytes of the body in a call, once it is measured."""


def ship(queue: ClusterQueue, entry: Entry, change: Change, *, now: WallMs) -> Shipment:
    """As of `now`."""
    observed = entry.observed
    archived = change is Change.ARCHIVED
    created = observed.created_at if observed is not None else min(entry.observed_at or now, now)
    updated = next_update(observed.updated_at if observed is not None else None, now=now)
    digest = entry.digest if entry.representative is not None else (observed.digest if observed is not None else "")
    unanswered = entry.unanswered
    if unanswered is not None and unanswered.digest == digest and unanswered.archived == archived:
        updated = unanswered.updated_at  # the same body: Security Hub ignores it if the unanswered call was written
    relapse = _relapse(observed, change, updated=updated)
    body: dict[str, Any]
    if entry.representative is not None:
        body = asff.render(
            entry.representative,
            cluster=queue.cluster,
            finding_id=entry.id,
            digest=digest,
            source_api=entry.source_api,
            created_at=created,
            observed_at=updated,
            updated_at=updated,
            archived=archived,
            relapse=relapse,
        )
    else:
        body = {**(entry.body or {}), "RecordState": "ARCHIVED", "UpdatedAt": asff.timestamp(updated)}
        # An adopted finding gets the uid of this cluster.
        body["ProductFields"] = {**body.get("ProductFields", {}), asff.CLUSTER_UID: queue.ledger.cluster_uid}
    renderer, summary = str(asff.RENDERER), ""
    if entry.representative is not None:
        summary = result_and_severity(entry.representative.result, body["FindingProviderFields"]["Severity"]["Label"])
    elif observed is not None:
        renderer, summary = observed.renderer, observed.result_and_severity
    result = ObservedFinding(
        digest=digest,
        created_at=created,
        updated_at=updated,
        archived=archived,
        renderer=renderer,
        result_and_severity=summary,
        relapses=relapse.count,
        relapsed_at=relapse.at,
    )
    return Shipment(queue=queue, entry=entry, change=change, observed=result, body=body)


def _relapse(observed: ObservedFinding | None, change: Change, *, updated: WallMs) -> asff.Relapse:
    """The count of Security Hub, plus one for a reactivation. Retries of an unanswered import are counted once: the
    observed count stays until one is acknowledged.
    """
    if observed is None:
        return asff.NO_RELAPSE
    if change is Change.REACTIVATED:
        return asff.Relapse(observed.relapses + 1, updated)
    return asff.Relapse(observed.relapses, observed.relapsed_at)


def rejected(entry: Entry, change: Change) -> str:
    """The value of `Entry.rejected` after a rejected import."""
    return ARCHIVE_REJECTED if change is Change.ARCHIVED else entry.digest
