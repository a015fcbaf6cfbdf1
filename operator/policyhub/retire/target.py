"""Whose findings are meant, where they are, and who still writes them.

| asked for                 | identity                | hub                                | uids                      |
|---------------------------|-------------------------|------------------------------------|---------------------------|
| a MonitoredCluster        | its own, or --identity  | options, its status, its spec,     | --uid, or its status's    |
|                           |                         | settings                           |                           |
| a name that is none       | the name, or --identity | options, settings                  | --uid; none: only counted |

Findings that a MonitoredCluster still writes are not archived: the operator would send them again at once.
Pure: no I/O, no clock.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from policyhub import finalizer
from policyhub.api.status import Status
from policyhub.cluster.conflict import ADOPT_NONE
from policyhub.hub_target import HubTarget, named_in, resolve
from policyhub.leaving import identity_of, writer
from policyhub.monitored import kept
from policyhub.settings import Settings

Body = Mapping[str, Any]


class RetireError(Exception):
    """What was asked for cannot be; the message says what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the person has said; empty where nothing was said."""

    cluster: str
    identity: str = ""
    uids: frozenset[str] = frozenset()
    account: str = ""
    region: str = ""
    role_arn: str = ""
    external_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The findings that are meant."""

    cluster: str
    identity: str
    hub: HubTarget
    uids: frozenset[str]
    """Empty: only counted."""
    writer: str = ""
    """The MonitoredCluster that still writes them."""
    kept: str = ""
    """The uid of the MonitoredCluster that our finalizer keeps, though it was deleted."""


def uids(words: Collection[str]) -> frozenset[str]:
    """`none` stands for findings that carry no uid; an empty word is a variable not set. Raises RetireError."""
    if any(not word.strip() for word in words):
        raise RetireError("--uid is empty. Give the cluster's uid; `--uid none` names findings that carry none")
    return frozenset("" if word == ADOPT_NONE else word for word in words)


def target(asked: Asked, there: Collection[Body], *, settings: Settings) -> Target:
    """`there`: the MonitoredClusters of the home cluster. Raises RetireError."""
    body = next((body for body in there if body["metadata"]["name"] == asked.cluster), None)
    identity = asked.identity or (identity_of(body) if body is not None else asked.cluster)
    hub = _hub(asked, body, settings)
    told = kept(body) if body is not None else Status()
    own, sent_to = told.cluster_uid or "", (told.hub.account_id, told.hub.region) if told.hub else hub.place
    chosen = asked.uids or frozenset({own} - {""})
    releases = (
        body is not None
        and finalizer.is_deleted(body)
        and finalizer.is_set(body)
        and identity == identity_of(body)
        and (own in chosen or not (own or chosen))
        and sent_to == hub.place
    )
    return Target(
        cluster=asked.cluster,
        identity=identity,
        hub=hub,
        uids=chosen,
        writer=writer(there, identity=identity, hub=hub.place, uids=chosen, settings=settings),
        kept=str(body["metadata"]["uid"]) if body is not None and releases else "",
    )


def _hub(asked: Asked, body: Body | None, settings: Settings) -> HubTarget:
    known = resolve(named_in(body), settings, recorded=kept(body).hub if body is not None else None)
    target = HubTarget(
        account=asked.account or known.account,
        region=asked.region or known.region,
        role_arn=asked.role_arn or known.role_arn,
        external_id=asked.external_id or known.external_id,
    )
    if target.missing:
        options = {"accountId": "--account-id", "region": "--region"}
        missing = " and ".join(options[field] for field in target.missing)
        what = f"MonitoredCluster {asked.cluster} does not say" if body is not None else "there is no MonitoredCluster"
        name = "" if body is not None else f" {asked.cluster} to say"
        raise RetireError(f"{what}{name} where the findings are: give {missing}")
    return target
