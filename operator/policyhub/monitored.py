"""MonitoredClusters as the API server has them: which object a body is, in which state, and how it fared before.

What cannot be read of one is that one's: the others are listed all the same.
"""

import contextlib
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import msgspec
import structlog
from pydantic import ValidationError

from policyhub.api.status import Condition, Status
from policyhub.kube.body import PAGE
from policyhub.kube.connection import Connection
from policyhub.reporter import RESOURCE
from policyhub.sources.text import clean

log = structlog.get_logger(__name__)


class Unreadable(Exception):  # noqa: N818  (the name says what happened)
    """What should be a MonitoredCluster lacks what every object has."""


class Named(NamedTuple):
    """Which object it is, and which state of it."""

    name: str
    uid: str
    version: str


def identified(body: object) -> Named:
    """Raises Unreadable."""
    metadata = body.get("metadata") if isinstance(body, Mapping) else None
    name, uid = (metadata.get("name"), metadata.get("uid")) if isinstance(metadata, Mapping) else (None, None)
    if not (isinstance(name, str) and name and isinstance(uid, str)):
        raise Unreadable("an object without name and uid")
    return Named(name, uid, str(cast("Mapping[str, Any]", metadata).get("resourceVersion") or ""))


def conditions(body: Mapping[str, Any]) -> dict[str, Condition]:
    """The conditions that a former process wrote; those that cannot be read start anew."""
    found = {}
    for condition in (body.get("status") or {}).get("conditions") or ():
        with contextlib.suppress(ValidationError):
            read = Condition.model_validate(condition)
            found[read.type] = read
    return found


def kept(body: Mapping[str, Any]) -> Status:
    """Whose findings there are and where, as a former process wrote it; empty where it cannot be read."""
    told = body.get("status") or {}
    known = {name: told[name] for name in ("identity", "clusterUid", "eksArn", "hub") if told.get(name)}
    try:
        return Status.model_validate(known)
    except ValidationError:
        return Status()


class _Listed(msgspec.Struct):
    items: list[msgspec.Raw]


class MonitoredClusters:
    """All of them, of our own cluster."""

    def __init__(self, home: Connection) -> None:
        self._home = home

    async def named(self, name: str) -> list[tuple[Named, Mapping[str, Any]]]:
        """The one of this name, if there is one. Raises as `listed`, and Unreadable."""
        items = await self._list({"fieldSelector": f"metadata.name={name}"})
        return [(identified(body), body) for body in map(msgspec.json.decode, items)]

    async def listed(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        """Those that can be read, by name and uid. Raises Refused, Unreachable; MsgspecError, RecursionError where the
        list cannot be read.
        """
        there: dict[tuple[str, str], Mapping[str, Any]] = {}
        for raw in await self._list():
            try:
                body = msgspec.json.decode(raw)
                named = identified(body)
            except (Unreadable, msgspec.MsgspecError, RecursionError) as error:
                log.warning("monitored_cluster_unreadable", message=clean(str(error)))
            else:
                there[named.name, named.uid] = body
        return there

    async def _list(self, params: Mapping[str, str] | None = None) -> list[msgspec.Raw]:
        return msgspec.json.decode(await self._home.get(RESOURCE, params, limit=PAGE), type=_Listed).items
