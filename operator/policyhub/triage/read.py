"""Reads the findings of monitored clusters from their hubs: now, not as the operator last saw them.

The MonitoredClusters say which clusters there are, where their findings are and what deadlines they have; the
credentials are those of whoever asks. Nothing is written anywhere.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import ValidationError

from policyhub.api.monitoredcluster import GROUP, PLURAL, VERSION, MonitoredCluster
from policyhub.clock import WallMs
from policyhub.findings.identity import prefix
from policyhub.hub_target import HubTarget, resolve
from policyhub.kube.body import PAGE
from policyhub.kube.connection import Connection
from policyhub.securityhub.opener import Opener
from policyhub.settings import Settings
from policyhub.triage.row import Choice, Row, row

SHARE = 0.3
"""Of the quota of GetFindings, 3 calls a second: the operator and other tools share it. Six calls go at once."""


class TriageError(Exception):
    """What was asked for cannot be; the message says what to do about it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the findings of one cluster are."""

    name: str
    identity: str
    hub: HubTarget
    sla_days: dict[str, int]


async def read(names: Sequence[str], choice: Choice, *, settings: Settings, now: Callable[[], WallMs]) -> list[Row]:
    """The active findings that are chosen, of these clusters or of all.

    Raises TriageError, HubError, KubeconfigError, Refused, Unreachable.
    """
    async with await Connection.home() as home:
        found = await places(home, names, settings=settings)
    return await rows(found, choice, now=now)


async def places(home: Connection, names: Sequence[str], *, settings: Settings) -> list[Place]:
    """Of these MonitoredClusters, or of all. Raises TriageError, and what `home` raises."""
    listed = msgspec.json.decode(await home.get(f"/apis/{GROUP}/{VERSION}/{PLURAL}", limit=PAGE))["items"]
    bodies = {body["metadata"]["name"]: body for body in listed}
    unknown = [name for name in names if name not in bodies]
    if unknown:
        there = ", ".join(sorted(bodies)) or "none"
        raise TriageError(f"there is no MonitoredCluster {', '.join(unknown)} (there are: {there})")
    if not bodies:
        raise TriageError("there is no MonitoredCluster in this cluster")
    return [_place(bodies[name], settings) for name in names or sorted(bodies)]


def _place(body: dict[str, Any], settings: Settings) -> Place:
    name = body["metadata"]["name"]
    try:
        monitored = MonitoredCluster.model_validate(body)
    except ValidationError as error:
        raise TriageError(f"MonitoredCluster {name} cannot be read: {error}") from error
    recorded = monitored.status.hub if monitored.status is not None else None
    hub = resolve(monitored.spec.security_hub, settings, recorded=recorded)
    if hub.missing:
        raise TriageError(f"neither MonitoredCluster {name} nor POLICYHUB_ACCOUNT_ID and POLICYHUB_REGION name its hub")
    return Place(
        name=name,
        identity=monitored.identity,
        hub=hub,
        sla_days=monitored.spec.sla_days.over(settings.sla_days),
    )


async def rows(places: Sequence[Place], choice: Choice, *, now: Callable[[], WallMs]) -> list[Row]:
    """The active findings that are chosen. Raises HubError."""
    found: dict[str, Row] = {}
    opener = Opener()
    with ExitStack() as stack:
        for place in places:
            hub = stack.enter_context(opener.opened(place.hub, share=SHARE, threads=1))
            filters = {"Id": [{"Value": prefix(place.identity), "Comparison": "PREFIX"}], **_filters(choice)}
            async with aclosing(hub.find(filters)) as pages:
                async for page in pages:
                    active = (finding for finding in page.findings if finding.get("RecordState") == "ACTIVE")
                    told = (row(f, cluster=place.name, sla_days=place.sla_days, now=now()) for f in active)
                    found.update((one.id, one) for one in told if choice.takes(one))
    return list(found.values())


def _filters(choice: Choice) -> dict[str, list[dict[str, str]]]:
    asked = {"WorkflowStatus": choice.statuses, "SeverityLabel": choice.severities}
    return {
        name: [{"Value": value, "Comparison": "EQUALS"} for value in sorted(values)]
        for name, values in asked.items()
        if values
    }
