"""What a Pod, ReplicaSet or Job says of itself and of its controller, as far as it can be read.

Everything here is written by whoever may write in the object's namespace, so nothing is believed and nothing raises:
what cannot be read is left out. Only an object without a readable name is refused (`Unnamed`).

| an owner reference                                                            | is                                |
|-------------------------------------------------------------------------------|-----------------------------------|
| that does not say `controller: true`                                          | no controller                     |
| to a Node (a static Pod)                                                      | no controller                     |
| of a Pod to a Pod, ReplicaSet or Job; of any of the three to a kind that      | a controller, once it is verified |
| controls it (`_CONTROLLERS`), or to a custom resource                         | (`owners`)                        |
| anything else: another kind, no uid, a name that Kubernetes would not take    | one that cannot be verified       |

Pure: no I/O, no clock.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any, Final

import msgspec

from policyhub.sources.recent import share
from policyhub.sources.violation import Subject
from policyhub.sources.wire import ServedName, ServedNamespace

LATEST_REVISION: Final = 2**31
"""Kubernetes counts in 63 bits; nobody rolls out so often."""

_REVISIONS = ("deployment.kubernetes.io/revision", "rollout.argoproj.io/revision")
_DIGITS = 10
"""Of LATEST_REVISION."""
_LATEST_SECOND = 2**40
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,252}")
_GROUP = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}")
_WORD = re.compile(r"[A-Za-z0-9-]{1,63}")
"""Kinds and versions."""
_UID = 253

_CONTROLLERS: Mapping[str, frozenset[tuple[str, str]]] = {
    "Pod": frozenset({("apps", "StatefulSet"), ("apps", "DaemonSet"), ("", "ReplicationController")}),
    "ReplicaSet": frozenset({("apps", "Deployment")}),
    "Job": frozenset({("batch", "CronJob")}),
}
"""Whose controller is which built-in kind: a Pod that names a Deployment is none of its Pods."""
_WALKED: Mapping[str, frozenset[tuple[str, str]]] = {
    "Pod": frozenset({("apps", "ReplicaSet"), ("batch", "Job"), ("", "Pod")}),
}
_BUILT_IN: Final = frozenset(
    f"{group}.k8s.io"
    for group in (
        "admissionregistration",
        "apiextensions",
        "apiregistration",
        "authentication",
        "authorization",
        "certificates",
        "coordination",
        "discovery",
        "events",
        "flowcontrol.apiserver",
        "internal.apiserver",
        "metrics",
        "networking",
        "node",
        "rbac.authorization",
        "resource",
        "scheduling",
        "storage",
        "storagemigration",
    )
)
"""Groups with a dot whose kinds are Kubernetes' own, and control nothing."""


class How(Enum):
    """How an owner is verified."""

    THING = "thing"
    """A Pod, ReplicaSet or Job: by its uid."""
    CONTROLLER = "controller"
    """A built-in controller: by its uid, where they may be listed."""
    CUSTOM = "custom"
    """A custom resource: its kind is served, and all that it owns name one uid."""
    NOT = "not"
    """It cannot be."""


class Reference(msgspec.Struct, frozen=True):
    """The controller that an object names."""

    how: How
    owner: Subject
    uid: str
    version: str = ""
    """In which version of its group; of a custom resource only."""


class Said(msgspec.Struct):
    """A Pod, ReplicaSet or Job as it describes itself."""

    uid: str
    reference: Reference | None = None
    created: int = 0
    """Unix seconds; 0: not known."""
    revision: int = 0
    ending: bool = False
    """Whether it is being deleted."""


class Unnamed(ValueError):  # noqa: N818  (it says what is wrong)
    """An object that may be any."""


class _Owner(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class _Metadata(msgspec.Struct, rename="camel"):
    name: ServedName
    namespace: ServedNamespace = ""
    uid: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None


class Object(msgspec.Struct):
    """An object, as far as it is read."""

    metadata: _Metadata


class _Named(msgspec.Struct):
    name: ServedName
    namespace: ServedNamespace = ""


class _Bare(msgspec.Struct):
    metadata: _Named


class _Identified(msgspec.Struct):
    uid: str = ""


class _BareIdentified(msgspec.Struct):
    metadata: _Identified


_decode = msgspec.json.Decoder(Object).decode
_decode_bare = msgspec.json.Decoder(_Bare).decode
_decode_uid = msgspec.json.Decoder(_BareIdentified).decode
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def read(group: str, kind: str, raw: bytes | msgspec.Raw, *, uids: bool = True) -> tuple[Subject, Said, str]:
    """The object, what it says, and why not all of that could be read. Without `uids` an owner needs none, as in files
    that people write. Raises Unnamed.
    """
    try:
        metadata = _decode(raw).metadata
    except UNREADABLE as error:
        return *bare(group, kind, raw), str(error)
    of = Subject(group, kind, share(metadata.namespace), metadata.name)
    said = Said(
        metadata.uid[:_UID] if uids else "",
        _controller(kind, metadata, uids=uids),
        _second(metadata.creation_timestamp or ""),
        _revision(metadata.annotations or {}),
        bool(metadata.deletion_timestamp),
    )
    return of, said, ""


def bare(group: str, kind: str, raw: bytes | msgspec.Raw) -> tuple[Subject, Said]:
    """An object by nothing but its name: it has no controller. Raises Unnamed."""
    of = named(group, kind, raw)
    try:
        uid = _decode_uid(raw).metadata.uid
    except UNREADABLE:
        uid = ""
    return of, Said(uid[:_UID])


def named(group: str, kind: str, raw: bytes | msgspec.Raw) -> Subject:
    """Raises Unnamed."""
    try:
        metadata = _decode_bare(raw).metadata
    except UNREADABLE as error:
        raise Unnamed(str(error)) from error
    return Subject(group, kind, share(metadata.namespace), metadata.name)


def _controller(kind: str, metadata: _Metadata, *, uids: bool) -> Reference | None:
    """The API server lets one owner be the controller; of several the first that is written counts."""
    for one in metadata.owner_references or ():
        if one.controller:
            group, _, version = one.api_version.rpartition("/")
            if kind == "Pod" and one.kind == "Node" and not group:
                return None
            how = _how(kind, group, version, one, uids=uids)
            readable = how is not How.NOT
            owner = Subject(
                share(group if readable else ""),
                share(one.kind if _WORD.fullmatch(one.kind) else ""),
                share(metadata.namespace),
                share(one.name if _NAME.fullmatch(one.name) else ""),
            )
            uid = one.uid if readable and uids else ""
            return Reference(how, owner, uid, share(version) if how is How.CUSTOM else "")
    return None


def _how(kind: str, group: str, version: str, one: _Owner, *, uids: bool) -> How:
    wellformed = (
        (not group or _GROUP.fullmatch(group))
        and _WORD.fullmatch(version)
        and _WORD.fullmatch(one.kind)
        and _NAME.fullmatch(one.name)
        and (not uids or 0 < len(one.uid) <= _UID)
    )
    if not wellformed:
        return How.NOT
    if (group, one.kind) in _WALKED.get(kind, ()):
        return How.THING
    if (group, one.kind) in _CONTROLLERS.get(kind, ()):
        return How.CONTROLLER
    return How.CUSTOM if "." in group and group not in _BUILT_IN else How.NOT


def _revision(annotations: Mapping[str, Any]) -> int:
    said = next((annotations[key] for key in _REVISIONS if key in annotations), "")
    if not (said.isascii() and said.isdigit()):
        return 0
    digits = said.lstrip("0")
    return LATEST_REVISION if len(digits) > _DIGITS else min(int(digits or "0"), LATEST_REVISION)


def _second(stamp: str) -> int:
    try:
        moment = datetime.fromisoformat(stamp)
        return min(max(0, int(moment.timestamp())), _LATEST_SECOND) if moment.tzinfo is not None else 0
    except (ValueError, OverflowError, OSError):
        return 0
