"""The discovery documents of the simulated API server."""

from collections.abc import Callable, Mapping

import msgspec

from policyhub.kube.connection import Refused
from tests.simulation.kinds import Kind

VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
MOST_PARTS = 3
"""Most parts of a discovery path."""


def discovered(serves: Callable[[], Mapping[Kind, bool]], parts: list[str]) -> bytes | None:
    """The discovery document for a path, split into parts; None if it is not a discovery path. `serves` returns the
    served kinds, each with whether its CRD is terminating. Raises Refused (404).
    """
    if len(parts) > MOST_PARTS:
        return None
    kinds = serves()
    match parts:
        case ["apis"]:
            names = dict.fromkeys(kind.group for kind in kinds if kind.group)
            return msgspec.json.encode({"groups": [_group(kinds, name) for name in names]})
        case ["apis", name]:
            found = _group(kinds, name)
            if not found["versions"]:
                raise Refused(404, "NotFound", name)
            return msgspec.json.encode(found)
        case ["apis", name, version]:
            return _version(kinds, name, version)
        case ["api", version]:
            return _version(kinds, "", version)
    return None


def _group(kinds: Mapping[Kind, bool], name: str) -> dict[str, object]:
    versions = dict.fromkeys(kind.version for kind in kinds if kind.group == name)
    return {"name": name, "versions": [{"version": version} for version in versions]}


def _version(kinds: Mapping[Kind, bool], group: str, version: str) -> bytes:
    found = [
        {
            "name": kind.plural,
            "kind": kind.name,
            "namespaced": kind.namespaced,
            "verbs": [verb for verb in VERBS if verb != "create" or not ending],
        }
        for kind, ending in kinds.items()
        if (kind.group, kind.version) == (group, version)
    ]
    if not found:
        raise Refused(404, "NotFound", f"{group}/{version}")
    return msgspec.json.encode({"resources": found})
