"""Reads MonitoredClusters from the API server, with the status that an earlier process wrote.

An object that cannot be read is skipped, with a log line; the others are listed.
"""

import contextlib
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import msgspec
import structlog
from pydantic import ValidationError

from policyhub.api.status import Condition, Status
from policyhub.control.reporter import RESOURCE
from policyhub.kube.body import MAX_PAGE_BYTES
from policyhub.kube.connection import Connection
from policyhub.model.text import clean

log = structlog.get_logger(__name__)


class NotIdentifiable(Exception):
    """A MonitoredCluster without name or uid."""


class ObjectVersion(NamedTuple):
    """Identifies an object and one state of it."""

    name: str
    uid: str
    version: str


def object_version(body: object) -> ObjectVersion:
    """Raises NotIdentifiable."""
    metadata = body.get("metadata") if isinstance(body, Mapping) else None
    name, uid = (metadata.get("name"), metadata.get("uid")) if isinstance(metadata, Mapping) else (None, None)
    if not (isinstance(name, str) and name and isinstance(uid, str)):
        raise NotIdentifiable("an object without name and uid")
    return ObjectVersion(name, uid, str(cast("Mapping[str, Any]", metadata).get("resourceVersion") or ""))


def conditions(body: Mapping[str, Any]) -> dict[str, Condition]:
    """The conditions that an earlier process wrote, without those that cannot be read."""
    found = {}
    for condition in (body.get("status") or {}).get("conditions") or ():
        with contextlib.suppress(ValidationError):
            read = Condition.model_validate(condition)
            found[read.type] = read
    return found


def recorded_status(body: Mapping[str, Any]) -> Status:
    """Identity, cluster uid and hub of the findings, as an earlier process recorded them; empty if not readable."""
    status = body.get("status") or {}
    known = {name: status[name] for name in ("identity", "clusterUid", "eksArn", "hub") if status.get(name)}
    try:
        return Status.model_validate(known)
    except ValidationError:
        return Status()


class _Listed(msgspec.Struct):
    items: list[msgspec.Raw]


class MonitoredClusters:
    """The MonitoredClusters of the home cluster."""

    def __init__(self, home: Connection) -> None:
        self._home = home

    async def get(self, name: str) -> list[tuple[ObjectVersion, Mapping[str, Any]]]:
        """The MonitoredCluster with this name; empty if there is none. Raises as `list_all`, and NotIdentifiable."""
        items = await self._list({"fieldSelector": f"metadata.name={name}"})
        return [(object_version(body), body) for body in map(msgspec.json.decode, items)]

    async def list_all(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        """(name, uid) → each MonitoredCluster that can be read. Raises Refused, Unreachable; MsgspecError,
        RecursionError if the answer cannot be read.
        """
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        for raw in await self._list():
            try:
                body = msgspec.json.decode(raw)
                version = object_version(body)
            except (NotIdentifiable, msgspec.MsgspecError, RecursionError) as error:
                log.warning("monitored_cluster_unreadable", message=clean(str(error)))
            else:
                found[version.name, version.uid] = body
        return found

    async def _list(self, params: Mapping[str, str] | None = None) -> list[msgspec.Raw]:
        return msgspec.json.decode(await self._home.get(RESOURCE, params, limit=MAX_PAGE_BYTES), type=_Listed).items
