"""Builds the status of a MonitoredCluster from a snapshot.

A status can be written whatever the cluster, the engines or AWS report: messages are cleaned and cut, and a uid or
source that the CRD rejects is left out, which a message states. The status stays far below the limit of etcd.
Pure: no I/O, no clock.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

from policyhub.api.reason import Cause, Reason
from policyhub.api.scalar import format_time
from policyhub.api.status import Condition, ConditionType, Findings, Hub, Source, Status, WouldSend, status_patch
from policyhub.clock import SteadyMs, WallMs, to_wall_clock
from policyhub.cluster import conditions, insync
from policyhub.cluster.conditions import ConditionState
from policyhub.cluster.remedies import with_remedy
from policyhub.cluster.shown import shown
from policyhub.cluster.snapshot import Snapshot
from policyhub.model.text import capped
from policyhub.sync.entry import NEW, NOTIFIED, RESOLVED, SUPPRESSED

MESSAGE = 4_096
"""Characters of a message. The API server accepts 32,768; nobody reads that many, and all conditions must fit."""
WATCHING = "Watching"
"""The state of a source that is complete and live."""


def build(seen: Snapshot, *, previous: Mapping[str, Condition], generation: int, now: SteadyMs, wall: WallMs) -> Status:
    """`previous`: type → condition that was last written, whose transition time stays while its status stays."""
    before = previous.get("InSync")
    states = conditions.conditions(seen, was_in_sync=before is not None and before.status == "True", now=now)
    return Status(
        observed_generation=generation,
        conditions=_conditions(states, previous, generation=generation, wall=wall),
        identity=seen.identity,
        cluster_uid=(uid := conditions.uid(seen)),
        eks_arn=(seen.eks_arn or None) if uid is not None else None,
        hub=Hub(account_id=seen.account, region=seen.region),
        last_heartbeat_time=_moment(wall // 1000),
        findings=_findings(seen, now=now, wall=wall),
        would_send=_would_send(seen),
        sources=_sources(seen),
    )


def to_record(fresh: Status, seen: Snapshot, *, kept: Status) -> Status:
    """`fresh` with the uid and ARN of the cluster that Security Hub has findings of: those of `kept`, the last status,
    until the present cluster is known to have none of another uid. A rebuilt cluster that nobody has adopted so stays
    a conflict after a restart, and in the hands of another operator.
    """
    if fresh.cluster_uid is None:  # not connected yet, or never again: the findings are still that cluster's
        unsettled = True
    else:
        read = seen.findings is not None and seen.inventory is None
        conflict = seen.findings is None or seen.findings.conflict is not None
        unsettled = kept.cluster_uid not in {None, fresh.cluster_uid} and (not read or conflict)
    return fresh.model_copy(update={"cluster_uid": kept.cluster_uid, "eks_arn": kept.eks_arn}) if unsettled else fresh


def refused(generation: int, fault: Cause, *, previous: Mapping[str, Condition], kept: Status, wall: WallMs) -> Status:
    """The status of a MonitoredCluster without a data plane. Identity, hub and findings of `kept` stay: a deletion
    needs them to find the findings.
    """
    cause = replace(fault, message=with_remedy("Ready", fault))
    states: list[ConditionState] = [("Ready", "False", cause)]
    made = _conditions(states, previous, generation=generation, wall=wall)
    return Status(
        observed_generation=generation,
        conditions=made,
        identity=kept.identity,
        cluster_uid=kept.cluster_uid,
        eks_arn=kept.eks_arn,
        hub=kept.hub,
        findings=kept.findings,
        last_heartbeat_time=_moment(wall // 1000),
    )


def failed(generation: int, why: str, *, previous: Mapping[str, Condition], wall: WallMs) -> Status:
    """The replacement of a status that could not be built, or that the API server rejects."""
    cause = Cause(
        Reason.STATUS_FAILED,
        f"the operator cannot report the real status of this cluster: {why}. So it does not show whether findings are"
        " sent and archived. The operator tries again every 15 seconds. Report this with the log lines status_failed"
        " and status_not_written",
    )
    states: list[ConditionState] = [(type_, "False" if type_ == "Ready" else "Unknown", cause) for type_ in _TYPES]
    made = _conditions(states, previous, generation=generation, wall=wall)
    moment = _moment(wall // 1000)
    return Status(observed_generation=generation, conditions=made, last_heartbeat_time=moment)


def failed_patch(status: Status) -> dict[str, Any]:
    """The merge patch of a `failed` status. It removes numbers and sources, whose age is unknown; identity and hub
    stay.
    """
    body = status_patch(status)["status"]
    kept = ("observedGeneration", "conditions", "lastHeartbeatTime", "findings", "wouldSend", "sources")
    return {"status": {name: body[name] for name in kept}}


_TYPES: tuple[ConditionType, ...] = get_args(ConditionType)


def _conditions(
    states: Iterable[ConditionState], previous: Mapping[str, Condition], *, generation: int, wall: WallMs
) -> tuple[Condition, ...]:
    """The conditions in the form that the API server accepts."""
    moment = datetime.fromtimestamp(wall // 1000, UTC)
    made = []
    for type_, status, fault in states:
        before = previous.get(type_)
        made.append(
            Condition(
                type=type_,
                status=status,
                reason=fault.reason.value,
                message=capped(fault.message, MESSAGE),
                observed_generation=generation,
                last_transition_time=before.last_transition_time if before and before.status == status else moment,
            )
        )
    return tuple(made)


def timestamp(wall: WallMs) -> str:
    """The time in the format of Kubernetes."""
    return format_time(datetime.fromtimestamp(wall // 1000, UTC))


def _findings(seen: Snapshot, *, now: SteadyMs, wall: WallMs) -> Findings:
    found = seen.findings
    if found is None:
        return Findings()
    oldest = found.oldest_pending if seen.preview is None else None
    return Findings(
        active=sum(found.active.values()),
        critical=found.active.get("CRITICAL", 0),
        high=found.active.get("HIGH", 0),
        medium=found.active.get("MEDIUM", 0),
        low=found.active.get("LOW", 0),
        informational=found.active.get("INFORMATIONAL", 0),
        oldest_pending=_moment(to_wall_clock(oldest, now=now, wall_clock=wall) // 1000) if oldest is not None else None,
        pending=found.pending if seen.preview is None else sum(seen.preview.values()),
        held=found.held,
        past_sla=seen.past_sla,
        **_triage(seen, found.triage),
    )


def _would_send(seen: Snapshot) -> WouldSend | None:
    would = insync.would_send(seen.preview)
    return WouldSend(**would) if would is not None else None


def _triage(seen: Snapshot, triage: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """Findings by workflow status; empty before the first complete inventory."""
    if not seen.inventory_at:
        return {}
    by_status: Counter[str] = Counter()
    for (status, _), number in triage.items():
        by_status[status] += number
    return {
        "open": by_status[NEW],
        "notified": by_status[NOTIFIED],
        "suppressed": by_status[SUPPRESSED],
        "resolved": by_status[RESOLVED],
        "triage_read": datetime.fromtimestamp(seen.inventory_at // 1000, UTC),
    }


def _sources(seen: Snapshot) -> tuple[Source, ...]:
    return tuple(
        Source(
            resource=source.name,
            objects=source.objects,
            last_listed=_moment(source.last_listed // 1000),
            newest_result=_moment(source.newest),
            state=source.state.value if source.state is not None else WATCHING,
        )
        for source in shown(seen.sources)
    )


def _moment(seconds: int) -> datetime | None:
    """None for 0, and for times beyond the calendar."""
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (OverflowError, ValueError, OSError):
        return None
