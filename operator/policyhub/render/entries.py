"""The list of a source object (results of a report, violations of a constraint), to be read one by one. Pure."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from policyhub.model.source_apis import CONSTRAINTS

Document = dict[str, Any]
Position = tuple[int, int | None]
"""The index of a result and of one of its resources; None if it has none."""

_MOST: Final = 2**63
_REPORT: Final = ("results",)
_CONSTRAINT: Final = ("status", "violations")


def decoded(raw: bytes | msgspec.Raw) -> Any:
    """Decode an object that its reader accepts: in members that the reader ignores, a number may be out of range."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return json.loads(bytes(raw).decode("utf-8", "replace"), parse_int=_number, parse_float=_number)


def _number(text: str) -> float | int:
    number = float(text)
    return int(text) if text.lstrip("-").isdecimal() and abs(number) < _MOST else number if abs(number) < _MOST else 0


def path_of(group: str) -> tuple[str, ...]:
    """The path of the list."""
    return _CONSTRAINT if group == CONSTRAINTS else _REPORT


def listed(document: Document, group: str) -> list[Any]:
    """The list; empty if it does not exist or is not a list."""
    found: Any = document
    for name in path_of(group):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, list) else []


def with_list(document: Document, group: str, entries: list[Any] | None) -> Document:
    if group != CONSTRAINTS:
        return {**document, "results": entries}
    status = document.get("status")
    return {**document, "status": {**status, "violations": entries}} if isinstance(status, dict) else document


def each(document: Document, group: str) -> Iterator[Position]:
    for number, result in enumerate(listed(document, group)):
        resources = result.get("resources") if isinstance(result, dict) else None
        if isinstance(resources, list) and resources:
            yield from ((number, one) for one in range(len(resources)))
        else:
            yield number, None


def only(document: Document, group: str, positions: Iterable[Position]) -> Document:
    """Replace all other results and resources by null: the readers skip null, and the indices stay."""
    entries = listed(document, group)
    kept: list[Any] = [None] * len(entries)
    for number, resource in positions:
        result = entries[number]
        if resource is not None:
            resources = (kept[number] or {}).get("resources") or [None] * len(result["resources"])
            resources[resource] = result["resources"][resource]
            result = {**result, "resources": resources}
        kept[number] = result
    return with_list(document, group, kept)
