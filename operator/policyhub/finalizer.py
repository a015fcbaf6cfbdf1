"""The finalizer by which `deletionPolicy: Archive` keeps a MonitoredCluster until its findings are archived.

| the MonitoredCluster                                          | the finalizer is                              |
|---------------------------------------------------------------|-----------------------------------------------|
| Archive, mode Sync, and this operator writes for it           | set                                           |
| Archive, mode Sync, and an older one has its identity and hub | taken off: the findings are the older one's   |
| Retain, or another mode                                       | taken off                                     |
| Archive, mode Sync, and its spec cannot be used               | left as it is                                 |

Whoever reads it reads the raw object, so that an object that no longer fits the model can still be let go. It is
written with the version of the object that was read: nobody else's finalizer is lost.
"""

from collections.abc import Mapping
from typing import Any

from policyhub.kube.connection import Connection, Refused
from policyhub.monitored import MonitoredClusters
from policyhub.reporter import RESOURCE

FINALIZER = "policyhub.dev/archive-findings"
ATTEMPTS = 5
"""Of a write, where somebody else writes the object between reading and writing."""
CONFLICT, GONE = 409, 404


def asked(body: Mapping[str, Any]) -> bool:
    """Whether the spec wants the findings archived at the deletion. Pure."""
    spec = body.get("spec") or {}
    return spec.get("deletionPolicy") == "Archive" and spec.get("mode", "Sync") == "Sync"


def is_set(body: Mapping[str, Any]) -> bool:
    return FINALIZER in (body["metadata"].get("finalizers") or ())


def is_deleted(body: Mapping[str, Any]) -> bool:
    """Whether somebody has deleted it; finalizers may keep it."""
    return bool(body["metadata"].get("deletionTimestamp"))


async def write(home: Connection, name: str, uid: str, *, there: bool) -> None:
    """Set it, or take it off; nothing where it is so already, or the object is gone. Raises what
    `MonitoredClusters.named` raises, and Refused.
    """
    objects = MonitoredClusters(home)
    for attempt in range(1, ATTEMPTS + 1):
        body = next((body for found, body in await objects.named(name) if found.uid == uid), None)
        if body is None or is_set(body) == there or (there and is_deleted(body)):
            return
        metadata = body["metadata"]
        others = [other for other in metadata.get("finalizers") or () if other != FINALIZER]
        fresh = {
            "uid": uid,
            "resourceVersion": metadata.get("resourceVersion"),
            "finalizers": [*others, FINALIZER] if there else others,
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
