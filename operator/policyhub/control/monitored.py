"""Reads MonitoredClusters from the API server, with the status that an earlier process wrote.

An object that cannot be read is skipped, with a log line; the others are listed.
"""

import contextlib
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import msgspec
import structlog
from pydantic import ValidationError

from policyhub.api.reason import Cause, Reason
from policyhub.api.status import Condition, Status
from policyhub.control.reporter import RESOURCE
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.kube.errors import TooLarge
from policyhub.model.text import clean

log = structlog.get_logger(__name__)

PAGE = 100
"""Objects per page. A MonitoredCluster has some 25 kB with 50 sources."""
ATTEMPTS = 3
"""How often a listing begins whose continue tokens expire: after five minutes, or when etcd is compacted."""
EXPIRED = 410


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


def current_reason(body: Mapping[str, Any], type_: str) -> str:
    """The reason of a condition in the status, if it is about the current spec; else empty. Pure."""
    condition = conditions(body).get(type_)
    is_current = condition is not None and condition.observed_generation == body["metadata"].get("generation", 0)
    return condition.reason if condition is not None and is_current else ""


def is_dry_run(body: Mapping[str, Any]) -> bool:
    """Whether the operator sends nothing for it, by its spec. Pure."""
    return (body.get("spec") or {}).get("mode") == "DryRun"


def recorded_status(body: Mapping[str, Any]) -> Status:
    """Identity, cluster uid and hub of the findings, as an earlier process recorded them; empty if not readable."""
    status = body.get("status") or {}
    known = {name: status[name] for name in ("identity", "clusterUid", "eksArn", "hub") if status.get(name)}
    try:
        return Status.model_validate(known)
    except ValidationError:
        return Status()


def identity_of(body: Mapping[str, Any]) -> str:
    """As `MonitoredCluster.identity`, for an object that may not fit the model."""
    return str((body.get("spec") or {}).get("clusterArn") or body["metadata"]["name"])


def invalid(error: ValidationError) -> Cause:
    """Why a MonitoredCluster cannot be used, with the path of each wrong field."""
    problems = (
        f"spec{''.join(f'.{part}' for part in problem['loc'] if part != 'spec')}: {problem['msg']}"
        for problem in error.errors()
    )
    return Cause(Reason.INVALID_SPEC, "; ".join(problems))


def failed(error: Exception) -> Cause:
    """Why a MonitoredCluster is not handled: a bug."""
    return Cause(
        Reason.NOT_STARTED,
        f"an error inside the operator ({type(error).__name__}) keeps it from handling this MonitoredCluster."
        " It tries again once a minute",
        remedy="report it with the log line monitored_cluster_failed",
    )


class _ListMetadata(msgspec.Struct, rename={"version": "resourceVersion", "next_token": "continue"}):
    version: str | None = None
    next_token: str | None = None


class _Listed(msgspec.Struct):
    items: list[msgspec.Raw]
    metadata: _ListMetadata = msgspec.field(default_factory=_ListMetadata)


async def list_pages(home: Connection, path: str, params: Mapping[str, str] | None = None) -> list[msgspec.Raw]:
    """All objects of one of our own resources, of one resourceVersion. Raises Refused, Unreachable; MsgspecError,
    RecursionError if an answer cannot be read.

    No page is larger than `MAX_DOCUMENT_BYTES`: above it, it would wait for the large pages of monitored clusters
    (`kube.body`). A page that is larger is requested again with fewer objects. If the continue token expires, all is
    read again.
    """
    limit, failures = PAGE, 0
    while True:
        try:
            return await _read_pages(home, path, {**(params or {}), "limit": str(limit)})
        except TooLarge:
            if limit == 1:
                raise
            limit = max(1, limit // 4)
        except Refused as error:
            if error.status != EXPIRED or (failures := failures + 1) == ATTEMPTS:
                raise


async def _read_pages(home: Connection, path: str, params: Mapping[str, str]) -> list[msgspec.Raw]:
    items: list[msgspec.Raw] = []
    tokens: list[str] = []
    version: str | None = None
    while True:
        page = msgspec.json.decode(
            await home.get(path, {**params, "continue": tokens[-1]} if tokens else params), type=_Listed
        )
        if tokens and page.metadata.version != version:  # the rest of a listing that has expired
            raise Refused(EXPIRED, "Expired", f"{path}: the pages of one listing have different versions")
        version = page.metadata.version
        items += page.items
        token = page.metadata.next_token
        if not token:
            return items
        if token in tokens or not page.items:
            raise Unreachable(f"{path}: the listing never ends")
        tokens.append(token)


class MonitoredClusters:
    """The MonitoredClusters of the home cluster."""

    def __init__(self, home: Connection) -> None:
        self._home = home

    async def get(self, name: str) -> list[tuple[ObjectVersion, Mapping[str, Any]]]:
        """The MonitoredCluster with this name; empty if there is none. Raises as `list_all`, and NotIdentifiable."""
        items = await list_pages(self._home, RESOURCE, {"fieldSelector": f"metadata.name={name}"})
        return [(object_version(body), body) for body in map(msgspec.json.decode, items)]

    async def list_all(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        """(name, uid) → each MonitoredCluster that can be read. Raises Refused, Unreachable; MsgspecError,
        RecursionError if the answer cannot be read.
        """
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        for raw in await list_pages(self._home, RESOURCE):
            try:
                body = msgspec.json.decode(raw)
                version = object_version(body)
            except (NotIdentifiable, msgspec.MsgspecError, RecursionError) as error:
                log.warning("monitored_cluster_unreadable", message=clean(str(error)))
            else:
                found[version.name, version.uid] = body
        return found
