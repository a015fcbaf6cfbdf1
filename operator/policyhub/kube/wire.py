"""Decodes the parts of pages, events and objects that a reflector needs.

One unreadable object does not make its page or watch fail: JSON that is nested too deeply for the decoder is split
without recursion, and each object is passed on separately. Pure: no I/O, no clock.
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from policyhub.kube.decoding import TooDeep, decoded, elements, fits, members
from policyhub.kube.errors import TooLarge
from policyhub.model.text import line

_MIN_OBJECT_BYTES: Final = 64
"""Least average size of the objects of a page of more than `_MANY_OBJECTS`: an object `{}` takes 25 times its size in
memory."""
_MANY_OBJECTS: Final = 10_000
_MAX_COMMAS: Final = 2_000_000
"""Bounds the number of objects of a page. Reports have one comma in 30 bytes, so 64 MiB of them have 2.2 million."""
_DEEP_BYTES: Final = 8 * 2**20
"""Largest page that is split without recursion, at some 20 MB/s."""


class Unreadable(Exception):
    """The answer does not follow the API."""


class Metadata(msgspec.Struct, rename={"version": "resourceVersion", "next_token": "continue"}):
    """Both are sent back as parameters."""

    version: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    next_token: Annotated[str, msgspec.Meta(max_length=8192)] = ""


class _Page(msgspec.Struct):
    metadata: Metadata
    items: list[msgspec.Raw] | None = None


class Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Object(msgspec.Struct):
    metadata: Metadata = msgspec.field(default_factory=Metadata)


class Status(msgspec.Struct):
    code: int = 0
    reason: str = "Unknown"
    message: str = ""


class _Named(msgspec.Struct):
    name: str = ""
    namespace: str = ""


class _Item(msgspec.Struct):
    metadata: _Named


_page = msgspec.json.Decoder(_Page)
_metadata = msgspec.json.Decoder(Metadata)
_event = msgspec.json.Decoder(Event)
_object = msgspec.json.Decoder(_Object)
_status = msgspec.json.Decoder(Status)
_item = msgspec.json.Decoder(_Item)
_named = msgspec.json.Decoder(_Named)


async def page(body: bytearray) -> tuple[Metadata, Sequence[msgspec.Raw]]:
    """The objects of a page. Raises Unreadable; TooLarge if the page may have too many objects."""
    if body.count(b",") > _MAX_COMMAS:
        raise TooLarge(f"a page of {len(body)} bytes has more than {_MAX_COMMAS} parts")
    try:
        found = fits(_page, body, Unreadable)
    except TooDeep:
        if len(body) > _DEEP_BYTES:
            raise TooLarge(f"a page of {len(body)} bytes is nested too deeply") from None
        return await asyncio.to_thread(_deep_page, bytes(body))
    except Unreadable as error:
        raise Unreadable(f"the listing cannot be read: {error}") from None
    items = found.items or ()
    if len(items) > _MANY_OBJECTS and len(items) * _MIN_OBJECT_BYTES > len(body):
        raise Unreadable(f"the listing cannot be read: {len(items)} objects in {len(body)} bytes")
    return found.metadata, items


def event(line: bytes) -> tuple[Event, str]:
    """The event, and the resourceVersion of its object: empty where it has none, or is nested too deeply.

    Raises Unreadable.
    """
    try:
        found = fits(_event, line, Unreadable)
    except TooDeep:
        found = _deep_event(line)
    try:
        return found, fits(_object, found.object, Unreadable).metadata.version
    except TooDeep:
        return found, ""


def status(raw: msgspec.Raw) -> Status:
    """The object of an ERROR event. Raises Unreadable."""
    return decoded(_status, raw, Unreadable)


def display_name(raw: msgspec.Raw) -> str:
    """Namespace and name of an object for messages, as far as they can be read."""
    return line(namespaced_name(raw)) or "(no name)"


def namespaced_name(raw: msgspec.Raw) -> str:
    """`namespace/name`, or the name of a cluster-scoped object: unique for its kind. Empty if it cannot be read."""
    try:
        try:
            named = fits(_item, raw, Unreadable).metadata
        except TooDeep:
            named = decoded(_named, members(bytes(raw)).get(b"metadata", b""), Unreadable)
    except (Unreadable, ValueError):
        return ""
    return f"{named.namespace}/{named.name}" if named.namespace and named.name else named.name


def _deep_page(body: bytes) -> tuple[Metadata, Sequence[msgspec.Raw]]:
    try:
        parts = members(body)
        items = [msgspec.Raw(item) for item in elements(parts.get(b"items", b"null"))]
        return decoded(_metadata, parts.get(b"metadata", b""), Unreadable), items
    except (ValueError, Unreadable) as error:
        raise Unreadable(f"the listing cannot be read: {error}") from None


def _deep_event(line: bytes) -> Event:
    try:
        parts = members(line)
        return Event(parts[b"type"].strip(b'"').decode(), msgspec.Raw(parts[b"object"]))
    except (ValueError, KeyError) as error:
        raise Unreadable(f"it is nested too deeply: {error}") from None
