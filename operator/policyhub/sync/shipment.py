"""What is sent of one finding: the body that is imported, and what the finding will be known as once acknowledged.

A body says since when (`CreatedAt`, which a known finding keeps) and as of when (`UpdatedAt`, which only grows). What
the cluster calls for is rendered anew; what nothing calls for any more goes back as it was read, archived. Pure.
"""

from dataclasses import dataclass
from typing import Any

from policyhub.clock import WallMs
from policyhub.findings import asff
from policyhub.sync.cluster_queue import ClusterQueue
from policyhub.sync.entry import Entry, ObservedFinding, gist
from policyhub.sync.plan import ARCHIVE_REJECTED, Change, next_update


@dataclass(slots=True)
class Shipment:
    """One finding of a call."""

    feed: ClusterQueue
    entry: Entry
    change: Change
    observed: ObservedFinding
    """What it will be known as once acknowledged."""
    body: dict[str, Any]
    size: int = 0
    """Bytes of the body in a call, once it is measured."""


def ship(feed: ClusterQueue, entry: Entry, change: Change, *, now: WallMs) -> Shipment:
    """As of `now`."""
    observed = entry.observed
    archived = change is Change.ARCHIVED
    created = observed.created_at if observed is not None else min(entry.observed_at or now, now)
    updated = next_update(observed.updated_at if observed is not None else None, now=now)
    digest = entry.digest if entry.representative is not None else (observed.digest if observed is not None else "")
    again = entry.unanswered
    if again is not None and again.digest == digest and again.archived == archived:
        updated = again.updated_at  # the very same body: Security Hub ignores it if the lost call was written
    relapse = _relapse(observed, change, updated=updated)
    body: dict[str, Any]
    if entry.representative is not None:
        body = asff.render(
            entry.representative,
            cluster=feed.cluster,
            finding_id=entry.id,
            digest=digest,
            origin=entry.source_api,
            created_at=created,
            observed_at=updated,
            updated_at=updated,
            archived=archived,
            relapse=relapse,
        )
    else:
        body = {**(entry.body or {}), "RecordState": "ARCHIVED", "UpdatedAt": asff.timestamp(updated)}
        # An adopted finding becomes this cluster's.
        body["ProductFields"] = {**body.get("ProductFields", {}), asff.CLUSTER_UID: feed.ledger.cluster_uid}
    renderer, says = str(asff.RENDERER), ""
    if entry.representative is not None:
        says = gist(entry.representative.result, body["FindingProviderFields"]["Severity"]["Label"])
    elif observed is not None:
        renderer, says = observed.renderer, observed.gist
    result = ObservedFinding(
        digest=digest,
        created_at=created,
        updated_at=updated,
        archived=archived,
        renderer=renderer,
        gist=says,
        relapses=relapse.count,
        relapsed_at=relapse.at,
    )
    return Shipment(feed=feed, entry=entry, change=change, observed=result, body=body)


def _relapse(observed: ObservedFinding | None, change: Change, *, updated: WallMs) -> asff.Relapse:
    """As Security Hub has it, and one more for what comes back. An import that got no answer is counted once: until
    one is acknowledged, what is known stays as it was.
    """
    if observed is None:
        return asff.NO_RELAPSE
    if change is Change.REACTIVATED:
        return asff.Relapse(observed.relapses + 1, updated)
    return asff.Relapse(observed.relapses, observed.relapsed_at)


def rejected(entry: Entry, change: Change) -> str:
    """What `Entry.rejected` remembers of a refused import."""
    return ARCHIVE_REJECTED if change is Change.ARCHIVED else entry.digest
