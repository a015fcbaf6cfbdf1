"""Discovers which source objects and policies a cluster serves, and what is unknown.

An object is served in each version of its group, so each resource is read in exactly one version: the first one in the
group's order of preference that serves it. Absence needs proof, since findings depend on it:

    the group answers 404, or lists no version                          absent
    the group lists a version, whose document lacks the resource        absent in that version
    the group lists only versions that are not read                     unknown (policies: absent)
    anything else: 403, 5xx, time-out, a listed version answering 404   unknown: what was served before may still be
    more than MAX_KINDS kinds, or names that Kubernetes does not take   unknown, but the others (the first by name) are
                                                                        served
"""

import asyncio
import re
from collections.abc import Collection, Mapping
from typing import TypeVar

import msgspec

from policyhub.kube.connection import MAX_KINDS, Connection
from policyhub.kube.decoding import decoded
from policyhub.kube.errors import Refused, Unreachable, quoted
from policyhub.kube.resource import Resource
from policyhub.model.policy_apis import POLICY_APIS, POLICY_GROUPS, PolicyApi, policy_groups
from policyhub.model.source_apis import SOURCE_APIS, SourceApi

_T = TypeVar("_T")

_APIS: tuple[SourceApi | PolicyApi, ...] = (*SOURCE_APIS, *POLICY_APIS)
_VERSIONS: Mapping[str, tuple[str, ...]] = {api.group: api.versions for api in _APIS}
_NAMED: Mapping[str, frozenset[str]] = {api.group: frozenset(api.resources) for api in _APIS if api.kinds}
"""A group that is not named here is read whole."""

_PLURAL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_KIND = re.compile(r"[A-Za-z]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?")
"""What Kubernetes takes as names of a CustomResourceDefinition (DNS-1035 labels; of a kind in any case)."""


class Discovery(msgspec.Struct, frozen=True):
    """A resource that is not served is absent, unless its group is unknown."""

    served: tuple[Resource, ...]
    unknown: dict[str, str]
    """Group → why it could not be read completely, for people."""
    terminating: frozenset[str] = frozenset()
    """Origins of served resources that take no new object: a CRD that is being deleted, its objects first."""

    def absent(self, resource: Resource) -> bool:
        """Whether the resource is certainly not served in this version."""
        return resource.group not in self.unknown and resource not in self.served


async def discover(connection: Connection, groups: Collection[str]) -> Discovery:
    """The source APIs of these groups. Never raises for errors of the cluster: they are in `unknown`."""
    return await _discover_groups(connection, [api.group for api in SOURCE_APIS if api.group in groups])


async def discover_policies(connection: Connection, groups: Collection[str]) -> Discovery:
    """The policy objects behind the source APIs of these groups; as `discover`."""
    selected = policy_groups(groups)
    return await _discover_groups(connection, [api.group for api in POLICY_APIS if api.group in selected])


async def served_kinds(connection: Connection, group: str, version: str) -> frozenset[str] | None:
    """The kinds that are served in this version of the group, none where it is not served; None: not known."""
    try:
        kinds = await _fetch(connection, f"/apis/{group}/{version}", _kinds)
    except Refused as error:
        return frozenset() if error.status == 404 else None
    except Unreachable:
        return None
    return frozenset(kind.kind for kind in kinds.resources or () if "/" not in kind.name)


async def served_groups(connection: Connection) -> dict[str, tuple[str, ...]]:
    """Each API group with its versions, the preferred first; the core group is none of them. Raises Refused,
    Unreachable.
    """
    groups = (await _fetch(connection, "/apis", _groups)).groups or ()
    found = {}
    for group in groups:
        versions = {entry.version for entry in group.versions or () if _PLURAL.fullmatch(entry.version)}
        first = group.preferred.version if group.preferred else ""
        found[group.name] = tuple(sorted(versions, key=lambda version: (version != first, version)))
    return found


async def served_in(connection: Connection, group: str, version: str) -> dict[str, tuple[Resource, frozenset[str]]]:
    """What a version of a group serves, by plural, each with its verbs: the first MAX_KINDS by name, no subresources.
    Raises Refused, Unreachable.
    """
    path = f"/apis/{group}/{version}" if group else f"/api/{version}"
    kinds = [kind for kind in (await _fetch(connection, path, _kinds)).resources or () if _is_named(kind)]
    return {
        kind.name: (Resource(group, version, kind.name, kind.kind, kind.namespaced), kind.verbs or frozenset())
        for kind in sorted(kinds, key=lambda kind: kind.name)[:MAX_KINDS]
    }


async def _discover_groups(connection: Connection, groups: list[str]) -> Discovery:
    answers = await asyncio.gather(*(_discover_group(connection, group) for group in groups))
    served = {resource: terminating for found, _ in answers for resource, terminating in found}
    return Discovery(
        served=tuple(sorted(served)),
        terminating=frozenset(resource.group_resource for resource, terminating in served.items() if terminating),
        unknown={group: why for group, (_, why) in zip(groups, answers, strict=True) if why},
    )


class _Version(msgspec.Struct):
    version: str


class _Group(msgspec.Struct):
    versions: list[_Version] | None = None


class _NamedGroup(_Group):
    name: str = ""
    preferred: _Version | None = msgspec.field(name="preferredVersion", default=None)


class _Groups(msgspec.Struct):
    groups: list[_NamedGroup] | None = None


class _Kind(msgspec.Struct):
    name: str
    kind: str
    namespaced: bool
    verbs: frozenset[str] | None = None


class _Kinds(msgspec.Struct):
    resources: list[_Kind] | None = None


_group = msgspec.json.Decoder(_Group)
_groups = msgspec.json.Decoder(_Groups)
_kinds = msgspec.json.Decoder(_Kinds)

_Found = list[tuple[Resource, bool]]


async def _discover_group(connection: Connection, group: str) -> tuple[_Found, str]:
    """What the group serves, each with whether it is ending; and why that is not known whole, empty where it is."""
    try:
        listed = {entry.version for entry in (await _fetch(connection, f"/apis/{group}", _group)).versions or ()}
        readable = [version for version in _VERSIONS[group] if version in listed]
    except Refused as error:
        return [], "" if error.status == 404 else str(error)
    except Unreachable as error:
        return [], str(error)
    if listed and not readable and group not in POLICY_GROUPS:
        return [], quoted(f"serves only {', '.join(sorted(listed)[:5])}; {' or '.join(_VERSIONS[group])} is needed")
    found: dict[str, tuple[Resource, bool]] = {}
    invalid_names: set[str] = set()
    for version in readable:
        if group in _NAMED and found.keys() == _NAMED[group]:
            break
        try:
            kinds = await _fetch(connection, f"/apis/{group}/{version}", _kinds)
        except (Refused, Unreachable) as error:
            return [], f"/apis/{group}/{version} cannot be read: {error}"
        sources = [kind for kind in kinds.resources or () if _is_source(group, kind)]
        invalid_names |= {kind.name for kind in sources if not _is_named(kind)}
        for kind in filter(_is_named, sources):
            resource = Resource(group, version, kind.name, kind.kind, kind.namespaced)
            found.setdefault(kind.name, (resource, "create" not in (kind.verbs or ())))
    return _limited(found, invalid_names)


async def _fetch(connection: Connection, path: str, decoder: msgspec.json.Decoder[_T]) -> _T:
    return decoded(decoder, await connection.get(path), lambda why: Unreachable(f"{path} cannot be read: {why}"))


def _is_named(kind: _Kind) -> bool:
    """Whether Kubernetes would take its names."""
    return bool(_PLURAL.fullmatch(kind.name) and _KIND.fullmatch(kind.kind))


def _limited(found: Mapping[str, tuple[Resource, bool]], invalid_names: set[str]) -> tuple[_Found, str]:
    """The first MAX_KINDS by name; and what was left out."""
    problems = []
    if invalid_names:
        problems.append(
            f"{len(invalid_names)} kinds have names that Kubernetes does not take, such as {min(invalid_names)[:63]!r}"
        )
    if len(found) > MAX_KINDS:
        problems.append(f"it serves {len(found)} kinds; only the first {MAX_KINDS} by name are read")
    return [found[name] for name in sorted(found)[:MAX_KINDS]], quoted("; ".join(problems))


def _is_source(group: str, kind: _Kind) -> bool:
    """Not a subresource (`name/status`), and can be listed and watched."""
    named = kind.name in _NAMED[group] if group in _NAMED else "/" not in kind.name
    return named and {"list", "watch"} <= (kind.verbs or frozenset())
