"""The finalizer that keeps a MonitoredCluster with `deletionPolicy: Archive` until its findings are archived.

| the MonitoredCluster                                          | the finalizer is                              |
|---------------------------------------------------------------|-----------------------------------------------|
| Archive, mode Sync, and this operator sends its findings      | set                                           |
| Archive, mode Sync, and an older one has its identity and hub | not changed: a deletion checks who sends      |
| Retain, or another mode                                       | removed                                       |
| Archive, mode Sync, and its spec is invalid                   | not changed                                   |

All functions read the raw object, so that the finalizer can be removed from an object that no longer fits the model.
Each write names the resourceVersion that was read, so no other finalizer is lost.
"""

from collections.abc import Mapping
from typing import Any

from policyhub.control.monitored import MonitoredClusters
from policyhub.control.reporter import RESOURCE
from policyhub.kube.connection import Connection, Refused

FINALIZER = "policyhub.dev/archive-findings"
ATTEMPTS = 5
"""Attempts at a write, if another client writes the object between our read and our write."""
CONFLICT, GONE = 409, 404


def is_wanted(body: Mapping[str, Any]) -> bool:
    """Whether the spec asks to archive the findings on deletion. Pure."""
    spec = body.get("spec") or {}
    return spec.get("deletionPolicy") == "Archive" and spec.get("mode", "Sync") == "Sync"


def is_set(body: Mapping[str, Any]) -> bool:
    return FINALIZER in (body["metadata"].get("finalizers") or ())


def is_deleted(body: Mapping[str, Any]) -> bool:
    """Whether it was deleted; finalizers may still keep it."""
    return bool(body["metadata"].get("deletionTimestamp"))


async def write(home: Connection, name: str, uid: str, *, present: bool) -> None:
    """Set or remove the finalizer, if needed and the object still exists. Raises what `MonitoredClusters.get` raises,
    and Refused.
    """
    objects = MonitoredClusters(home)
    for attempt in range(1, ATTEMPTS + 1):
        body = next((body for found, body in await objects.get(name) if found.uid == uid), None)
        if body is None or is_set(body) == present or (present and is_deleted(body)):
            return
        metadata = body["metadata"]
        others = [other for other in metadata.get("finalizers") or () if other != FINALIZER]
        fresh = {
            "uid": uid,
            "resourceVersion": metadata.get("resourceVersion"),
            "finalizers": [*others, FINALIZER] if present else others,
        }
        try:
            await home.patch(f"{RESOURCE}/{name}", {"metadata": fresh})
        except Refused as error:
            if error.status == GONE:
                return
            if error.status != CONFLICT or attempt == ATTEMPTS:
                raise
        else:
            return
