"""Pages, events and objects as an API server writes them, as far as a reflector looks into them.

One object that cannot be read is never the trouble of its page or watch: what is nested more deeply than the decoder
follows is split without recursion, and each object is handed on for itself. Pure: no I/O, no clock.
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from policyhub.kube.decoding import TooDeep, decoded, elements, fits, members
from policyhub.kube.errors import TooLarge
from policyhub.sources.text import line

_SHORTEST: Final = 64
"""Bytes of an object, on the average of a page of more than `_MANY`: to hold one of `{}` takes 25 times as much."""
_MANY: Final = 10_000
_MAX_COMMAS: Final = 2_000_000
"""Of a page: it has no more objects than that. Reports have one comma in 30 bytes, 64 MiB of them 2.2 million."""
_DEEP_BYTES: Final = 8 * 2**20
"""Of a page that is split without recursion, at some 20 MB/s."""


class Unreadable(Exception):  # noqa: N818  (as Refused and Unreachable)
    """What came is not what the API promises."""


class Metadata(msgspec.Struct, rename={"version": "resourceVersion", "following": "continue"}):
    """Both are sent back as parameters."""

    version: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    following: Annotated[str, msgspec.Meta(max_length=8192)] = ""


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
    """Raises Unreadable; TooLarge where there may be more objects on it than can be held."""
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
    if len(items) > _MANY and len(items) * _SHORTEST > len(body):
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


def name(raw: msgspec.Raw) -> str:
    """Namespace and name of an object, as far as they can be read; for people."""
    return line(path(raw)) or "(no name)"


def path(raw: msgspec.Raw) -> str:
    """The same, as the object is told from all others of its kind; empty where its name cannot be read."""
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
