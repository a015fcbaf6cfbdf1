"""The metadata of a Pod, ReplicaSet or Job, and the controller that its owner references name.

Whoever may write in the object's namespace writes all of this. So nothing here is trusted and nothing raises: fields
that cannot be read are left out. Only an object without a readable name is rejected (`UnnamedObject`).

| an owner reference                                                            | is                                |
|-------------------------------------------------------------------------------|-----------------------------------|
| without `controller: true`                                                    | no controller                     |
| to a Node (a static Pod)                                                      | no controller                     |
| of a Pod to a Pod, ReplicaSet or Job; of any of the three to a kind that      | a controller, once it is verified |
| controls it (`_CONTROLLERS`), or to a custom resource                         | (`owners`)                        |
| anything else: another kind, no uid, a name that Kubernetes would not accept  | one that cannot be verified       |

Pure: no I/O, no clock.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any, Final

import msgspec

from policyhub.model.recent import share
from policyhub.model.violation import Subject
from policyhub.sources.wire import ServedName, ServedNamespace

LATEST_REVISION: Final = 2**31
"""Kubernetes counts in 63 bits; nobody has that many rollouts."""

_REVISIONS = ("deployment.kubernetes.io/revision", "rollout.argoproj.io/revision")
_DIGITS = 10
"""Decimal digits of LATEST_REVISION."""
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
"""Kind → built-in kinds that control it: a Pod that names a Deployment is not controlled by it."""
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
"""Built-in API groups with a dot in the name; their kinds control nothing."""


class Verification(Enum):
    """How the controller that an object names is verified."""

    WORKLOAD = "workload"
    """A Pod, ReplicaSet or Job: by its uid."""
    CONTROLLER = "controller"
    """A built-in controller: by its uid, where the operator may list the kind."""
    CUSTOM = "custom"
    """A custom resource: its kind is served, and all objects that name it name the same uid."""
    IMPOSSIBLE = "impossible"
    """It cannot be verified."""


class ControllerRef(msgspec.Struct, frozen=True):
    """The controller that an object names."""

    verification: Verification
    owner: Subject
    uid: str
    version: str = ""
    """The API version of a custom resource; empty for other owners."""


class ObjectMetadata(msgspec.Struct):
    """The metadata of a Pod, ReplicaSet or Job."""

    uid: str
    reference: ControllerRef | None = None
    created: int = 0
    """Unix seconds; 0: unknown."""
    revision: int = 0
    deleting: bool = False
    """Whether it has a deletionTimestamp."""


class UnnamedObject(ValueError):
    """An object without a readable name: it may be any object."""


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
    """The part of an object that is read."""

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


def read(group: str, kind: str, raw: bytes | msgspec.Raw, *, uids: bool = True) -> tuple[Subject, ObjectMetadata, str]:
    """The object, its metadata, and the error where part of it could not be read (else empty).

    Without `uids`, uids are ignored and an owner needs none, as in manifests that people write. Raises UnnamedObject.
    """
    try:
        parsed = _decode(raw).metadata
    except UNREADABLE as error:
        return *read_name_only(group, kind, raw), str(error)
    subject = Subject(group, kind, share(parsed.namespace), parsed.name)
    metadata = ObjectMetadata(
        parsed.uid[:_UID] if uids else "",
        _controller(kind, parsed, uids=uids),
        _second(parsed.creation_timestamp or ""),
        _revision(parsed.annotations or {}),
        bool(parsed.deletion_timestamp),
    )
    return subject, metadata, ""


def read_name_only(group: str, kind: str, raw: bytes | msgspec.Raw) -> tuple[Subject, ObjectMetadata]:
    """Only the object's name and uid: it has no controller. Raises UnnamedObject."""
    subject = subject_of(group, kind, raw)
    try:
        uid = _decode_uid(raw).metadata.uid
    except UNREADABLE:
        uid = ""
    return subject, ObjectMetadata(uid[:_UID])


def subject_of(group: str, kind: str, raw: bytes | msgspec.Raw) -> Subject:
    """Raises UnnamedObject."""
    try:
        metadata = _decode_bare(raw).metadata
    except UNREADABLE as error:
        raise UnnamedObject(str(error)) from error
    return Subject(group, kind, share(metadata.namespace), metadata.name)


def _controller(kind: str, metadata: _Metadata, *, uids: bool) -> ControllerRef | None:
    """The API server accepts one controller at most; of several, the first is taken."""
    for one in metadata.owner_references or ():
        if one.controller:
            group, _, version = one.api_version.rpartition("/")
            if kind == "Pod" and one.kind == "Node" and not group:
                return None
            verification = _verification(kind, group, version, one, uids=uids)
            readable = verification is not Verification.IMPOSSIBLE
            owner = Subject(
                share(group if readable else ""),
                share(one.kind if _WORD.fullmatch(one.kind) else ""),
                share(metadata.namespace),
                share(one.name if _NAME.fullmatch(one.name) else ""),
            )
            uid = one.uid if readable and uids else ""
            return ControllerRef(
                verification, owner, uid, share(version) if verification is Verification.CUSTOM else ""
            )
    return None


def _verification(kind: str, group: str, version: str, one: _Owner, *, uids: bool) -> Verification:
    wellformed = (
        (not group or _GROUP.fullmatch(group))
        and _WORD.fullmatch(version)
        and _WORD.fullmatch(one.kind)
        and _NAME.fullmatch(one.name)
        and (not uids or 0 < len(one.uid) <= _UID)
    )
    if not wellformed:
        return Verification.IMPOSSIBLE
    if (group, one.kind) in _WALKED.get(kind, ()):
        return Verification.WORKLOAD
    if (group, one.kind) in _CONTROLLERS.get(kind, ()):
        return Verification.CONTROLLER
    return Verification.CUSTOM if "." in group and group not in _BUILT_IN else Verification.IMPOSSIBLE


def _revision(annotations: Mapping[str, Any]) -> int:
    metadata = next((annotations[key] for key in _REVISIONS if key in annotations), "")
    if not (metadata.isascii() and metadata.isdigit()):
        return 0
    digits = metadata.lstrip("0")
    return LATEST_REVISION if len(digits) > _DIGITS else min(int(digits or "0"), LATEST_REVISION)


def _second(stamp: str) -> int:
    try:
        moment = datetime.fromisoformat(stamp)
        return min(max(0, int(moment.timestamp())), _LATEST_SECOND) if moment.tzinfo is not None else 0
    except (ValueError, OverflowError, OSError):
        return 0
