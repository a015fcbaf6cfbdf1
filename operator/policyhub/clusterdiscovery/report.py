"""The status of a ClusterDiscovery, built from the decisions and from the places that could not be listed.

| condition      | False                                                         | Unknown                      |
|----------------|---------------------------------------------------------------|------------------------------|
| `Listed`       | an account in a Region could not be listed                    | some were not asked yet      |
| `ClustersMade` | a selected cluster has no MonitoredCluster (`Trait.UNMADE`)   | nothing was listed yet, or   |
|                |                                                               | some were not described yet  |
| `Ready`        | one of these is False                                         | one of them is Unknown       |

A cluster that is gone makes none of them False: the status lists it, and the conditions of its MonitoredCluster show
it. Pure: no I/O, no clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from policyhub.api.clusterdiscovery import SHOWN, DiscoveryStatus, FoundCluster, SearchedPlace
from policyhub.api.reason import Cause, ConditionStatus, Reason, Trait
from policyhub.api.status import Condition
from policyhub.cluster.formatting import counted, sentence
from policyhub.clusterdiscovery.plan import UNDESCRIBED, Decision
from policyhub.model.text import capped

_NAMED = 3
"""How many clusters or places a message names."""
_PLACES = 50
_MESSAGE = 4_096
_CLUSTER_MESSAGE = 1_000
_CONTINUES = "The search continues in the others; existing MonitoredClusters stay"

ConditionState = tuple[ConditionStatus, Reason, str]
"""Status, reason, message."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The state of a place: an account in a Region."""

    name: str
    listed_at: datetime | None = None
    clusters: int = 0
    fault: Cause | None = None


def build(
    decisions: Sequence[Decision],
    places: Sequence[Seen],
    *,
    previous: Mapping[str, Condition],
    generation: int,
    now: datetime,
) -> DiscoveryStatus:
    """`previous` are the conditions that were written last, by type."""
    states = {"Listed": _listed(places), "ClustersMade": _made(decisions, places)}
    conditions = {"Ready": _ready(states, decisions), **states}
    return DiscoveryStatus(
        observed_generation=generation,
        conditions=_conditions(conditions, previous, generation=generation, now=now),
        found=sum(place.clusters for place in places),
        made=sum(1 for one in decisions if one.state in {"Made", "Gone"}),
        skipped=sum(1 for one in decisions if one.state == "Skipped"),
        gone=sum(1 for one in decisions if one.state == "Gone"),
        places=tuple(_place(place) for place in sorted(places, key=lambda p: (p.fault is None, p.name))[:_PLACES]),
        clusters=tuple(_cluster(one) for one in sorted(decisions, key=_urgency)[:SHOWN]),
    )


def invalid(why: Cause, *, previous: Mapping[str, Condition], generation: int, now: datetime) -> DiscoveryStatus:
    """The status if this operator cannot read the spec."""
    state: ConditionState = ("False", why.reason, _with_remedy(why))
    conditions = _conditions({"Ready": state}, previous, generation=generation, now=now)
    return DiscoveryStatus(observed_generation=generation, conditions=conditions)


def _listed(places: Sequence[Seen]) -> ConditionState:
    failed = [(place.name, place.fault) for place in places if place.fault is not None]
    if failed:
        named = ". ".join(f"{name}: {fault.message.rstrip('.')}" for name, fault in failed[:_NAMED])
        message = (
            f"EKS could not list the clusters of {len(failed)} of {len(places)} pairs of an account and a Region."
            f" {named}. {_CONTINUES}. {_remedies(fault for _, fault in failed)}"
        )
        return "False", failed[0][1].reason, message.rstrip()
    waiting = sum(1 for place in places if place.listed_at is None)
    if waiting:
        message = f"{waiting} of {len(places)} pairs of an account and a Region have not been searched yet: wait"
        return "Unknown", Reason.LISTING, message
    return "True", Reason.LISTED, f"EKS lists its clusters in all {len(places)} pairs of an account and a Region"


def _made(decisions: Sequence[Decision], places: Sequence[Seen]) -> ConditionState:
    unmade = [one for one in decisions if one.state == "Skipped" and Trait.UNMADE in one.why.reason.traits]
    if unmade:
        named = ". ".join(f"{one.arn}: {one.why.message.rstrip('.')}" for one in unmade[:_NAMED])
        message = (
            f"{len(unmade)} clusters have no MonitoredCluster, so their violations are not reported. {named}."
            f" {_remedies(one.why for one in unmade)}"
        )
        return "False", unmade[0].why.reason, message.rstrip()
    if not any(place.listed_at for place in places):
        return "Unknown", Reason.LISTING, "EKS has not listed any clusters yet: see the condition Listed"
    waiting = sum(1 for one in decisions if one.why is UNDESCRIBED)
    if waiting:
        return "Unknown", Reason.DESCRIBING, f"{counted(waiting, 'cluster')} have not been described yet: wait"
    return "True", Reason.ALL_MADE, "every selected cluster has a MonitoredCluster"


def _ready(states: Mapping[str, ConditionState], decisions: Sequence[Decision]) -> ConditionState:
    for wanted in ("False", "Unknown"):
        for status, reason, message in states.values():
            if status == wanted:
                return status, reason, message
    made = sum(1 for one in decisions if one.state == "Made")
    return "True", Reason.ALL_WELL, f"{made} clusters have a MonitoredCluster that this ClusterDiscovery created"


def _remedies(whys: Iterable[Cause]) -> str:
    """The first few different remedies."""
    found = list(dict.fromkeys(sentence(why.remedy.rstrip(".")) for why in whys if why.remedy))
    return ". ".join(found[:_NAMED])


def _with_remedy(why: Cause) -> str:
    return f"{why.message.rstrip('.')}. {sentence(why.remedy)}" if why.remedy else why.message


def _conditions(
    states: Mapping[str, ConditionState], previous: Mapping[str, Condition], *, generation: int, now: datetime
) -> tuple[Condition, ...]:
    return tuple(
        Condition(
            type=type_,
            status=status,
            observed_generation=generation,
            last_transition_time=before.last_transition_time
            if (before := previous.get(type_)) is not None and before.status == status
            else now,
            reason=reason.value,
            message=capped(message, _MESSAGE),
        )
        for type_, (status, reason, message) in states.items()
    )


def _place(place: Seen) -> SearchedPlace:
    reason = place.fault.reason if place.fault is not None else Reason.LISTED if place.listed_at else Reason.LISTING
    clusters = place.clusters if place.listed_at else None
    return SearchedPlace(name=place.name, reason=reason.value, clusters=clusters, last_listed=place.listed_at)


def _urgency(one: Decision) -> tuple[int, str]:
    unmade = Trait.UNMADE in one.why.reason.traits
    return 0 if one.state == "Gone" else 1 if unmade else 2 if one.state == "Skipped" else 3, one.arn


def _cluster(one: Decision) -> FoundCluster:
    return FoundCluster(
        arn=one.arn,
        state="Skipped" if one.state == "Make" else one.state,
        monitored_cluster=one.monitored or None,
        reason=one.why.reason.value,
        message=capped(_with_remedy(one.why), _CLUSTER_MESSAGE),
    )
