"""What is sent of one finding: the body that is imported, and what the finding will be known as once acknowledged.

A body says since when (`CreatedAt`, which a known finding keeps) and as of when (`UpdatedAt`, which only grows). What
the cluster calls for is rendered anew; what nothing calls for any more goes back as it was read, archived. Pure.
"""

from dataclasses import dataclass
from typing import Any

from policyhub.clocks import WallMs
from policyhub.findings import asff
from policyhub.sync.entry import Entry, Known, gist
from policyhub.sync.feed import Feed
from policyhub.sync.plan import ARCHIVE_REJECTED, Change, next_update


@dataclass(slots=True)
class Shipment:
    """One finding of a call."""

    feed: Feed
    entry: Entry
    change: Change
    known: Known
    """What it will be known as once acknowledged."""
    body: dict[str, Any]


def ship(feed: Feed, entry: Entry, change: Change, *, now: WallMs) -> Shipment:
    """As of `now`."""
    known = entry.known
    archived = change is Change.ARCHIVED
    created = known.created_at if known is not None else min(entry.observed or now, now)
    updated = next_update(known.updated_at if known is not None else None, now=now)
    digest = entry.digest if entry.voice is not None else (known.digest if known is not None else "")
    again = entry.unanswered
    if again is not None and again.digest == digest and again.archived == archived:
        updated = again.updated_at  # the very same body: Security Hub ignores it if the lost call was written
    relapse = _relapse(known, change, updated=updated)
    body: dict[str, Any]
    if entry.voice is not None:
        body = asff.render(
            entry.voice,
            cluster=feed.cluster,
            finding_id=entry.id,
            digest=digest,
            origin=entry.origin,
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
    if entry.voice is not None:
        says = gist(entry.voice.result, body["FindingProviderFields"]["Severity"]["Label"])
    elif known is not None:
        renderer, says = known.renderer, known.gist
    result = Known(
        digest=digest,
        created_at=created,
        updated_at=updated,
        archived=archived,
        renderer=renderer,
        gist=says,
        relapses=relapse.count,
        relapsed_at=relapse.at,
    )
    return Shipment(feed=feed, entry=entry, change=change, known=result, body=body)


def _relapse(known: Known | None, change: Change, *, updated: WallMs) -> asff.Relapse:
    """As Security Hub has it, and one more for what comes back. An import that got no answer is counted once: until
    one is acknowledged, what is known stays as it was.
    """
    if known is None:
        return asff.NO_RELAPSE
    if change is Change.REACTIVATED:
        return asff.Relapse(known.relapses + 1, updated)
    return asff.Relapse(known.relapses, known.relapsed_at)


def rejected(entry: Entry, change: Change) -> str:
    """What `Entry.rejected` remembers of a refused import."""
    return ARCHIVE_REJECTED if change is Change.ARCHIVED else entry.digest
