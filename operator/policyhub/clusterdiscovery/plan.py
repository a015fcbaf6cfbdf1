"""Decides about each EKS cluster that a ClusterDiscovery knows, and which MonitoredClusters to create.

| the cluster                                  | its MonitoredCluster          | decision                          |
|----------------------------------------------|-------------------------------|-----------------------------------|
| is listed                                    | this discovery created it     | Made: it stays as it is           |
| is listed                                    | somebody else created it      | Skipped: AlreadyMonitored         |
| is listed, selected and usable, as the last  | none                          | Make: one is created              |
| search found                                 |                               |                                   |
| is listed, selected and usable, as an        | none                          | Skipped, with the reason of the   |
| earlier search found                         |                               | last attempt, or Describing       |
| is listed, selected and usable               | none, and the name for it is  | Skipped: NameClash or InvalidName |
|                                              | taken or invalid              |                                   |
| is listed, but not selected, or has no API   | none                          | Skipped, with the reason          |
| server that EKS can give access to           |                               |                                   |
| is not listed, and EKS does not find it in   | this discovery created it     | Gone: it stays as it is           |
| its verified account                         |                               |                                   |
| is not listed, or could not be looked up     | this discovery created it     | Made: silence is no evidence      |

Nothing is ever changed or deleted: a MonitoredCluster that discovery created belongs to the admins from then on.
Whether a cluster is monitored depends on its ARN, not on the name of the MonitoredCluster. None is created on old
evidence: since then an admin may have removed the tag and deleted the MonitoredCluster.

Pure: no I/O, no clock.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from policyhub.api.clusterdiscovery import DISCOVERED_BY, Account, DiscoverySpec, TagRequirement, TagSelector
from policyhub.api.monitoredcluster import GROUP, KIND, VERSION
from policyhub.api.reason import Cause, Reason
from policyhub.api.scalar import partition_of
from policyhub.api.selector import Operator, Term
from policyhub.cluster.formatting import retire_command
from policyhub.control.monitored import identity_of, recorded_status
from policyhub.eks.description import Arn, Description, blocking_fault
from policyhub.securityhub.target import named_in

_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_NAME = 253

State = Literal["Make", "Made", "Skipped", "Gone"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a place (an account in a Region) that was listed at least once."""

    account: str
    region: str
    clusters: Mapping[str, Description | Cause] = field(default_factory=dict)
    """Name of every listed cluster → its description, or why there is none."""
    gone: frozenset[str] = frozenset()
    """Names that EKS does not find in the verified account."""
    fresh: frozenset[str] = frozenset()
    """Names that may get a MonitoredCluster now: EKS has described them in the last search."""
    unmade: Mapping[str, Cause] = field(default_factory=dict)
    """Name of a selected cluster without a MonitoredCluster → why the last attempt to create one failed."""


@dataclass(frozen=True, slots=True)
class Existing:
    """A MonitoredCluster that exists."""

    name: str
    arn: str = ""
    discovered_by: str = ""
    retire: str = field(default="", compare=False)
    """The command that archives its findings once it is deleted."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on one cluster."""

    arn: str
    state: State
    why: Cause
    monitored: str = ""
    """Name of its MonitoredCluster, or of the one to create."""


UNDESCRIBED = Cause(Reason.DESCRIBING, "EKS has not described this cluster yet")
_MONITORED = Cause(Reason.MONITORED)


def arn_of(account: str, region: str, name: str) -> str:
    """The ARN of a cluster."""
    return f"arn:{partition_of(region)}:eks:{region}:{account}:cluster/{name}"


def existing(body: Mapping[str, Any]) -> Existing:
    """Reads the body of a MonitoredCluster."""
    metadata, spec = body["metadata"], body.get("spec") or {}
    connected = ((spec.get("connection") or {}).get("eks") or {}).get("arn")
    return Existing(
        name=metadata["name"],
        arn=spec.get("clusterArn") or connected or "",
        discovered_by=(metadata.get("labels") or {}).get(DISCOVERED_BY, ""),
        retire=_retire(body),
    )


def _retire(body: Mapping[str, Any]) -> str:
    """The command names all that spec and status do, since they are gone then. Without a uid it only counts."""
    known, named = recorded_status(body), named_in(body)
    return retire_command(
        identity_of(body),
        uids=[known.cluster_uid] if known.cluster_uid else (),
        account=(known.hub.account_id if known.hub is not None else named.account_id) or "",
        region=(known.hub.region if known.hub is not None else named.region) or "",
        role_arn=named.role_arn or "",
        external_id=named.external_id or "",
        yes=bool(known.cluster_uid),
    )


def plan(
    owner: str, spec: DiscoverySpec, answers: Sequence[Answer], monitored: Sequence[Existing]
) -> tuple[Decision, ...]:
    """The decisions, sorted by ARN. `owner` is the name of the ClusterDiscovery."""
    by_arn: dict[str, Existing] = {}
    for one in monitored:
        if one.arn and (one.arn not in by_arn or one.discovered_by == owner):
            by_arn[one.arn] = one
    names = {one.name: one for one in monitored}
    decisions: dict[str, Decision] = {}
    for arn, found, old in sorted(_listed(answers), key=lambda one: one[0]):
        decision = _known(owner, arn, by_arn) or _new(arn, found, spec, names, old)
        decisions[arn] = decision
        if decision.state == "Make":
            names[decision.monitored] = Existing(decision.monitored, arn)
    gone = {arn_of(answer.account, answer.region, name) for answer in answers for name in answer.gone}
    for arn, one in by_arn.items():
        if one.discovered_by == owner and arn not in decisions:
            why = _gone(arn, one) if arn in gone else _unlisted(arn, answers)
            decisions[arn] = Decision(arn, "Gone" if arn in gone else "Made", why, one.name)
    return tuple(decisions[arn] for arn in sorted(decisions))


def _listed(answers: Sequence[Answer]) -> Iterator[tuple[str, Description | Cause, Cause | None]]:
    """ARN; description, or why there is none; why there is no MonitoredCluster, or None if one may be created now."""
    for answer in answers:
        for name, found in answer.clusters.items():
            old = None if name in answer.fresh else answer.unmade.get(name, UNDESCRIBED)
            yield arn_of(answer.account, answer.region, name), found, old


def _known(owner: str, arn: str, by_arn: Mapping[str, Existing]) -> Decision | None:
    one = by_arn.get(arn)
    if one is None:
        return None
    if one.discovered_by == owner:
        return Decision(arn, "Made", _MONITORED, one.name)
    other = f" of the ClusterDiscovery {one.discovered_by}" if one.discovered_by else ""
    why = Cause(Reason.ALREADY_MONITORED, f"the MonitoredCluster {one.name}{other} already monitors this cluster")
    return Decision(arn, "Skipped", why, one.name)


def _new(
    arn: str, found: Description | Cause, spec: DiscoverySpec, names: Mapping[str, Existing], old: Cause | None
) -> Decision:
    if isinstance(found, Cause):
        return Decision(arn, "Skipped", found)
    cluster = Arn.parse(arn)
    if found.arn != arn:
        why = Cause(Reason.OTHER_CLUSTER, f"EKS describes this cluster with another ARN: {found.arn or 'none'}")
        return Decision(arn, "Skipped", why)
    if not selects(spec.tag_selector, found.tags):
        return Decision(arn, "Skipped", Cause(Reason.TAGS_DIFFER))
    if (fault := blocking_fault(cluster, found)) is not None:
        return Decision(arn, "Skipped", fault)
    name = rendered(spec.name_pattern, cluster)
    if not _OBJECT_NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        message = f"namePattern {spec.name_pattern} gives {name}, which is not a valid name of a MonitoredCluster"
        return Decision(arn, "Skipped", Cause(Reason.INVALID_NAME, message, _NAME_REMEDY))
    taken = names.get(name)
    if taken is not None:
        whose = taken.arn or "a cluster without an ARN"
        message = f"the name {name} is in use: the MonitoredCluster {name} monitors {whose}"
        return Decision(arn, "Skipped", Cause(Reason.NAME_CLASH, message, _CLASH_REMEDY))
    if old is not None:
        return Decision(arn, "Skipped", old)
    return Decision(arn, "Make", Cause(Reason.MONITORED), name)


_NAME_REMEDY = "Change spec.namePattern so that each name begins and ends with a letter or digit"
_CLASH_REMEDY = (
    "Use {name}, {region} and {account} in spec.namePattern, or create the MonitoredCluster yourself under another name"
)


def _gone(arn: str, one: Existing) -> Cause:
    cluster = Arn.parse(arn)
    return Cause(
        Reason.CLUSTER_GONE,
        f"account {cluster.account} has no EKS cluster {cluster.name} in {cluster.region}: it was deleted. Its"
        f" MonitoredCluster {one.name} stays, and so do its findings",
        f"If it does not come back: kubectl delete monitoredcluster {one.name}; then archive its findings:"
        f" {one.retire or retire_command(arn)}",
    )


def _unlisted(arn: str, answers: Sequence[Answer]) -> Cause:
    cluster = Arn.parse(arn)
    if any((answer.account, answer.region) == (cluster.account, cluster.region) for answer in answers):
        return Cause(Reason.NOT_LISTED, "EKS does not list this cluster, and has not confirmed that it is gone")
    return _MONITORED


def rendered(pattern: str, cluster: Arn) -> str:
    """The name by the pattern; it may be invalid as the name of an object."""
    name = cluster.name.lower().replace("_", "-")
    return pattern.replace("{region}", cluster.region).replace("{account}", cluster.account).replace("{name}", name)


def selects(selector: TagSelector, tags: Mapping[str, str]) -> bool:
    """Whether the selector selects a cluster with these tags."""
    return all(tags.get(key) == value for key, value in selector.match_tags.items()) and all(
        _holds(requirement, tags) for requirement in selector.match_expressions
    )


_TERMS: Mapping[str, Operator] = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}


def _holds(requirement: TagRequirement, tags: Mapping[str, str]) -> bool:
    return Term(requirement.key, _TERMS[requirement.operator], frozenset(requirement.values)).matches(tags)


def document(owner: str, spec: DiscoverySpec, account: Account, decision: Decision) -> dict[str, Any]:
    """The MonitoredCluster to create."""
    eks = {"roleArn": account.role_arn, "externalId": account.external_id}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {
            "name": decision.monitored,
            "labels": {**spec.template.metadata.labels, DISCOVERED_BY: owner},
        },
        "spec": {
            **spec.template.spec,
            "clusterArn": decision.arn,
            "connection": {"eks": {name: value for name, value in eks.items() if value is not None}},
        },
    }
