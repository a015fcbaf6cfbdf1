"""One line for each MonitoredCluster, from its status only: neither AWS nor the clusters are called.

Columns that `kubectl get monitoredclusters` also has show the same value under the same name.

A MonitoredCluster is healthy (`well`) if Ready is True and its status was written less than `STALE_MS` ago: a working
operator writes it at least every 3 minutes. A status that is older, or further than that in the future, has the reason
`StatusStale`.

Status texts come from clusters and may contain anything, so they are cut and cleaned. Pure: no I/O, no clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policyhub.clock import UNDATED, WallMs
from policyhub.cluster.formatting import span
from policyhub.model.text import line
from policyhub.securityhub.inventory import milliseconds

STALE_MS = 600_000
STALE = "StatusStale"
CELL = 128
"""Maximum length of a text from the status, in characters."""
MESSAGE = 4_096
"""Maximum length of a condition's message, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A member is empty or None if the status lacks it."""

    name: str
    account: str = ""
    region: str = ""
    ready: str = ""
    connected: str = ""
    in_sync: str = ""
    critical: int | None = None
    high: int | None = None
    medium: int | None = None
    low: int | None = None
    informational: int | None = None
    pending: int | None = None
    oldest_pending: str = ""
    """RFC 3339."""
    last_listed: str = ""
    """When the source was listed that was listed least recently; RFC 3339."""
    reason: str = ""
    """The reason of the condition Ready, or StatusStale."""
    message: str = ""
    identity: str = ""
    well: bool = False


def row(body: Mapping[str, Any], *, now: WallMs) -> Row:
    """The row of a MonitoredCluster, from the object as the API server returns it."""
    status = _mapping(body.get("status"))
    found, hub = _mapping(status.get("findings")), _mapping(status.get("hub"))
    conditions = {_text(one, "type"): one for one in _mappings(status.get("conditions"))}
    ready = conditions.get("Ready", {})
    heartbeat = milliseconds(_text(status, "lastHeartbeatTime"))
    stale = abs(now - heartbeat) > STALE_MS
    listed = sorted(filter(None, (_text(source, "lastListed") for source in _mappings(status.get("sources")))))
    return Row(
        name=_text(_mapping(body.get("metadata")), "name", limit=253),
        account=_text(hub, "accountId"),
        region=_text(hub, "region"),
        ready=_text(ready, "status"),
        connected=_text(conditions.get("Connected", {}), "status"),
        in_sync=_text(conditions.get("InSync", {}), "status"),
        critical=_number(found, "critical"),
        high=_number(found, "high"),
        medium=_number(found, "medium"),
        low=_number(found, "low"),
        informational=_number(found, "informational"),
        pending=_number(found, "pending"),
        oldest_pending=_text(found, "oldestPending"),
        last_listed=listed[0] if listed else "",
        reason=STALE if stale else _text(ready, "reason"),
        message=_stale(heartbeat, now) if stale else _text(ready, "message", limit=MESSAGE),
        identity=_text(status, "identity", limit=253),
        well=not stale and ready.get("status") == "True",
    )


def _stale(heartbeat: WallMs, now: WallMs) -> str:
    if heartbeat > now:
        return (
            f"the time of the status is {span((heartbeat - now) / 1000)} in the future: the clock of this machine or of"
            " the operator's is wrong, so these values may be out of date. Correct the clock"
        )
    since = f"for {span((now - heartbeat) / 1000)}" if heartbeat != UNDATED else "yet"
    return (
        f"no status was written {since}: the operator does not run, or may not write it, so these values may be out of"
        " date. Check its Pods and its log: kubectl logs -n policyhub deployment/policyhub"
    )


def age(moment: str, *, now: WallMs) -> str:
    """How long ago, in words; `-` if unknown."""
    at = milliseconds(moment)
    return span((now - at) / 1000) if at else "-"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _text(mapping: Mapping[str, Any], key: str, *, limit: int = CELL) -> str:
    value = mapping.get(key)
    return line(value, limit) if isinstance(value, str) else ""


def _number(mapping: Mapping[str, Any], key: str) -> int | None:
    value = mapping.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
