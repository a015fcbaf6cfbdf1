"""Resolves the options: identity, hub and cluster uids of the findings, and who still sends them.

| given                     | identity                | hub                                | uids                      |
|---------------------------|-------------------------|------------------------------------|---------------------------|
| a MonitoredCluster        | its own, or --identity  | options, its status, its spec,     | --uid, or its status's    |
|                           |                         | settings                           |                           |
| another name              | the name, or --identity | options, settings                  | --uid; none: only counted |

Findings that a MonitoredCluster still sends are not archived: the operator would send them again at once.
Pure: no I/O, no clock.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from policyhub.api.status import Status
from policyhub.cluster.conflict import ADOPT_NONE
from policyhub.control import finalizer
from policyhub.control.deletion import writer
from policyhub.control.monitored import identity_of, recorded_status
from policyhub.securityhub.target import HubTarget, named_in, resolve
from policyhub.settings import Settings

Body = Mapping[str, Any]


class RetireError(Exception):
    """The request cannot be carried out; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command; empty if not set."""

    cluster: str
    identity: str = ""
    uids: frozenset[str] = frozenset()
    account: str = ""
    region: str = ""
    role_arn: str = ""
    external_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The findings to count or archive."""

    cluster: str
    identity: str
    hub: HubTarget
    uids: frozenset[str]
    """Empty: only counted."""
    writer: str = ""
    """The MonitoredCluster that still sends them."""
    finalizer_of: str = ""
    """The uid of the deleted MonitoredCluster that only our finalizer keeps."""


def uids(given: Collection[str]) -> frozenset[str]:
    """The uids that `--uid` names. `none` means findings without a uid; an empty value is an unset shell variable.

    Raises RetireError.
    """
    if any(not uid.strip() for uid in given):
        raise RetireError("--uid is empty. Give the cluster's uid; `--uid none` selects findings without a uid")
    return frozenset("" if uid == ADOPT_NONE else uid for uid in given)


def target(options: Options, existing: Collection[Body], *, settings: Settings) -> Target:
    """`existing`: the MonitoredClusters of the home cluster. Raises RetireError."""
    body = next((body for body in existing if body["metadata"]["name"] == options.cluster), None)
    identity = options.identity or (identity_of(body) if body is not None else options.cluster)
    hub = _hub(options, body, settings)
    recorded = recorded_status(body) if body is not None else Status()
    own, sent_to = (
        recorded.cluster_uid or "",
        (recorded.hub.account_id, recorded.hub.region) if recorded.hub else hub.place,
    )
    selected = options.uids or frozenset({own} - {""})
    releases = (
        body is not None
        and finalizer.is_deleted(body)
        and finalizer.is_set(body)
        and identity == identity_of(body)
        and (own in selected or not (own or selected))
        and sent_to == hub.place
    )
    return Target(
        cluster=options.cluster,
        identity=identity,
        hub=hub,
        uids=selected,
        writer=writer(existing, identity=identity, hub=hub.place, uids=selected, settings=settings),
        finalizer_of=str(body["metadata"]["uid"]) if body is not None and releases else "",
    )


def _hub(options: Options, body: Body | None, settings: Settings) -> HubTarget:
    known = resolve(named_in(body), settings, recorded=recorded_status(body).hub if body is not None else None)
    target = HubTarget(
        account=options.account or known.account,
        region=options.region or known.region,
        role_arn=options.role_arn or known.role_arn,
        external_id=options.external_id or known.external_id,
    )
    if target.missing:
        flags = {"accountId": "--account-id", "region": "--region"}
        missing = " and ".join(flags[field] for field in target.missing)
        found = (
            f"MonitoredCluster {options.cluster} does not name the hub of the findings"
            if body is not None
            else f"there is no MonitoredCluster {options.cluster}, so the hub of the findings is unknown"
        )
        raise RetireError(f"{found}: give {missing}")
    return target
