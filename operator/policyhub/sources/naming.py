"""Reads only the name of a source object, if the rest of it cannot or need not be read.

Pure: no I/O, no clock.
"""

import msgspec

from policyhub.model.violation import Malformed, SourceKey


class _Named(msgspec.Struct):
    name: str
    namespace: str | None = None


class _Object(msgspec.Struct):
    metadata: _Named


_decode = msgspec.json.Decoder(_Object).decode


def named(group: str, resource: str, raw: bytes | msgspec.Raw) -> SourceKey:
    """Raises Malformed."""
    try:
        metadata = _decode(raw).metadata
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Malformed("malformed-object", f"an object whose name cannot be read: {error}") from error
    return SourceKey.named(group, resource, metadata.namespace or "", metadata.name)
