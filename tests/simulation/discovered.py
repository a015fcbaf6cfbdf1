"""What an API server serves, as its documents of discovery say it."""

from collections.abc import Callable, Mapping

import msgspec

from policyhub.kube.connection import Refused
from tests.simulation.kinds import Kind

VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
MOST_PARTS = 3
"""Of a path that is one of discovery."""


def discovered(serves: Callable[[], Mapping[Kind, bool]], parts: list[str]) -> bytes | None:
    """The document of a path in parts; None where the path is none of discovery. `serves` tells the kinds that are
    served, each with whether it is ending. Raises Refused (404).
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
