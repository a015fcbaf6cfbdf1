"""Reads the findings of monitored clusters directly from Security Hub, not from the operator.

The MonitoredClusters supply the clusters, the hubs and the SLAs. The credentials are those of the user. Nothing is
written.
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
from policyhub.kube.body import MAX_PAGE_BYTES
from policyhub.kube.connection import Connection
from policyhub.securityhub.opener import Opener
from policyhub.securityhub.target import HubTarget, resolve
from policyhub.settings import Settings
from policyhub.triage.row import Filter, Row, row

QUOTA_SHARE = 0.3
"""Share of the quota of GetFindings (3 calls a second), which the operator and other tools also use. The first six
calls are not delayed."""


class TriageError(Exception):
    """The request cannot be carried out; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Location:
    """The hub and identity of one cluster's findings."""

    name: str
    identity: str
    hub: HubTarget
    sla_days: dict[str, int]


async def read(names: Sequence[str], selection: Filter, *, settings: Settings, now: Callable[[], WallMs]) -> list[Row]:
    """The selected active findings, of these clusters or of all.

    Raises TriageError, HubError, KubeconfigError, Refused, Unreachable.
    """
    async with await Connection.home() as home:
        found = await locations(home, names, settings=settings)
    return await rows(found, selection, now=now)


async def locations(home: Connection, names: Sequence[str], *, settings: Settings) -> list[Location]:
    """Of these MonitoredClusters, or of all. Raises TriageError, and what `home` raises."""
    listed = msgspec.json.decode(await home.get(f"/apis/{GROUP}/{VERSION}/{PLURAL}", limit=MAX_PAGE_BYTES))["items"]
    bodies = {body["metadata"]["name"]: body for body in listed}
    unknown = [name for name in names if name not in bodies]
    if unknown:
        existing = ", ".join(sorted(bodies)) or "none"
        raise TriageError(f"there is no MonitoredCluster {', '.join(unknown)} (existing: {existing})")
    if not bodies:
        raise TriageError("there is no MonitoredCluster in this cluster")
    return [_location(bodies[name], settings) for name in names or sorted(bodies)]


def _location(body: dict[str, Any], settings: Settings) -> Location:
    name = body["metadata"]["name"]
    try:
        monitored = MonitoredCluster.model_validate(body)
    except ValidationError as error:
        raise TriageError(f"MonitoredCluster {name} cannot be read: {error}") from error
    recorded = monitored.status.hub if monitored.status is not None else None
    hub = resolve(monitored.spec.security_hub, settings, recorded=recorded)
    if hub.missing:
        raise TriageError(f"neither MonitoredCluster {name} nor POLICYHUB_ACCOUNT_ID and POLICYHUB_REGION name its hub")
    return Location(
        name=name,
        identity=monitored.identity,
        hub=hub,
        sla_days=monitored.spec.sla_days.over(settings.sla_days),
    )


async def rows(locations: Sequence[Location], selection: Filter, *, now: Callable[[], WallMs]) -> list[Row]:
    """The selected active findings. Raises HubError."""
    found: dict[str, Row] = {}
    opener = Opener()
    with ExitStack() as stack:
        for location in locations:
            hub = stack.enter_context(opener.opened(location.hub, share=QUOTA_SHARE, threads=1))
            filters = {"Id": [{"Value": prefix(location.identity), "Comparison": "PREFIX"}], **_filters(selection)}
            async with aclosing(hub.find(filters)) as pages:
                async for page in pages:
                    active = (finding for finding in page.findings if finding.get("RecordState") == "ACTIVE")
                    cells = (row(f, cluster=location.name, sla_days=location.sla_days, now=now()) for f in active)
                    found.update((one.id, one) for one in cells if selection.matches(one))
    return list(found.values())


def _filters(selection: Filter) -> dict[str, list[dict[str, str]]]:
    values_by_member = {"WorkflowStatus": selection.statuses, "SeverityLabel": selection.severities}
    return {
        name: [{"Value": value, "Comparison": "EQUALS"} for value in sorted(values)]
        for name, values in values_by_member.items()
        if values
    }
