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

from policyhub.api.clusterdiscovery import SHOWN, DiscoveryStatus, FoundCluster, Looked
from policyhub.api.reason import Cause, ConditionStatus, Reason, Trait
from policyhub.api.status import Condition
from policyhub.cluster.formatting import counted, sentence
from policyhub.clusterdiscovery.plan import NOT_ASKED, Decision
from policyhub.model.text import capped

_NAMED = 3
"""How many clusters or places a message names."""
_PLACES = 50
_MESSAGE = 4_096
_CLUSTER_MESSAGE = 1_000
_GOES_ON = "The others are looked at and their clusters get a MonitoredCluster all the same"

Verdict = tuple[ConditionStatus, Reason, str]
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
    verdicts = {"Listed": _listed(places), "ClustersMade": _made(decisions, places)}
    conditions = {"Ready": _ready(verdicts, decisions), **verdicts}
    return DiscoveryStatus(
        observed_generation=generation,
        conditions=_conditions(conditions, previous, generation=generation, now=now),
        found=sum(place.clusters for place in places),
        made=sum(1 for one in decisions if one.state in {"Made", "Gone"}),
        skipped=sum(1 for one in decisions if one.state == "Skipped"),
        gone=sum(1 for one in decisions if one.state == "Gone"),
        places=tuple(_looked(place) for place in sorted(places, key=lambda p: (p.fault is None, p.name))[:_PLACES]),
        clusters=tuple(_cluster(one) for one in sorted(decisions, key=_urgency)[:SHOWN]),
    )


def invalid(why: Cause, *, previous: Mapping[str, Condition], generation: int, now: datetime) -> DiscoveryStatus:
    """The status if this operator cannot read the spec."""
    verdict: Verdict = ("False", why.reason, _told(why))
    conditions = _conditions({"Ready": verdict}, previous, generation=generation, now=now)
    return DiscoveryStatus(observed_generation=generation, conditions=conditions)


def _listed(places: Sequence[Seen]) -> Verdict:
    failed = [(place.name, place.fault) for place in places if place.fault is not None]
    if failed:
        named = ". ".join(f"{name}: {fault.message.rstrip('.')}" for name, fault in failed[:_NAMED])
        told = (
            f"{len(failed)} of {len(places)} accounts and Regions could not be asked for their clusters. {named}."
            f" {_GOES_ON}; what is monitored there stays. {_remedies(fault for _, fault in failed)}"
        )
        return "False", failed[0][1].reason, told.rstrip()
    waiting = sum(1 for place in places if place.listed_at is None)
    if waiting:
        told = f"{waiting} of {len(places)} accounts and Regions have not been asked yet: wait"
        return "Unknown", Reason.LISTING, told
    return "True", Reason.LISTED, f"EKS lists its clusters in all {len(places)} pairs of an account and a Region"


def _made(decisions: Sequence[Decision], places: Sequence[Seen]) -> Verdict:
    open_ = [one for one in decisions if one.state == "Skipped" and Trait.UNMADE in one.why.reason.traits]
    if open_:
        named = ". ".join(f"{one.arn}: {one.why.message.rstrip('.')}" for one in open_[:_NAMED])
        told = (
            f"{len(open_)} clusters have no MonitoredCluster, so their violations are not reported. {named}."
            f" {_remedies(one.why for one in open_)}"
        )
        return "False", open_[0].why.reason, told.rstrip()
    if not any(place.listed_at for place in places):
        return "Unknown", Reason.LISTING, "no account has listed its clusters yet: see the condition Listed"
    waiting = sum(1 for one in decisions if one.why is NOT_ASKED)
    if waiting:
        return "Unknown", Reason.DESCRIBING, f"{counted(waiting, 'cluster')} have not been described yet: wait"
    return "True", Reason.ALL_MADE, "every cluster that was selected has a MonitoredCluster"


def _ready(verdicts: Mapping[str, Verdict], decisions: Sequence[Decision]) -> Verdict:
    for wanted in ("False", "Unknown"):
        for status, reason, message in verdicts.values():
            if status == wanted:
                return status, reason, message
    made = sum(1 for one in decisions if one.state == "Made")
    return "True", Reason.ALL_WELL, f"{made} clusters have a MonitoredCluster by this ClusterDiscovery"


def _remedies(whys: Iterable[Cause]) -> str:
    """The first few different remedies."""
    found = list(dict.fromkeys(sentence(why.remedy.rstrip(".")) for why in whys if why.remedy))
    return ". ".join(found[:_NAMED])


def _told(why: Cause) -> str:
    return f"{why.message.rstrip('.')}. {sentence(why.remedy)}" if why.remedy else why.message


def _conditions(
    verdicts: Mapping[str, Verdict], previous: Mapping[str, Condition], *, generation: int, now: datetime
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
        for type_, (status, reason, message) in verdicts.items()
    )


def _looked(place: Seen) -> Looked:
    reason = place.fault.reason if place.fault is not None else Reason.LISTED if place.listed_at else Reason.LISTING
    clusters = place.clusters if place.listed_at else None
    return Looked(name=place.name, reason=reason.value, clusters=clusters, last_listed=place.listed_at)


def _urgency(one: Decision) -> tuple[int, str]:
    unmade = Trait.UNMADE in one.why.reason.traits
    return 0 if one.state == "Gone" else 1 if unmade else 2 if one.state == "Skipped" else 3, one.arn


def _cluster(one: Decision) -> FoundCluster:
    return FoundCluster(
        arn=one.arn,
        state="Skipped" if one.state == "Make" else one.state,
        monitored_cluster=one.monitored or None,
        reason=one.why.reason.value,
        message=capped(_told(one.why), _CLUSTER_MESSAGE),
    )
