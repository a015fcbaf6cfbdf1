"""Where in a source object lies what its reader could not use: the way to the member, and what is wrong with it.

The readers of `sources` count what they leave out by a fixed word, as a metric wants it. A person wants the place, so
an object with such a word is looked through again here. Nothing is decided here. Pure: no I/O, no clock.

| found                                                           | then                                            |
|-----------------------------------------------------------------|-------------------------------------------------|
| no metadata, no name                                            | the whole object is left out                    |
| a member that says what a result is about has the wrong type    | the result is left out                          |
| a member that only describes has the wrong type                 | the member is left out, its result counts       |
| an object that Kubernetes could not have                        | the result counts for the report itself         |
| a result of no known word, of no policy and rule, or about      | the result is left out                          |
|   another namespace's object                                    |                                                 |
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from policyhub.render.raw_object import Path_
from policyhub.sources import constraints, objects, wire
from policyhub.sources.kinds import Reference
from policyhub.sources.source_apis import CONSTRAINTS

Defect = tuple[Path_, str]

_WORDS = ("fail", "warn", "error", "pass", "skip")
_NO_VIOLATION = ("pass", "skip")
_LEFT_OUT = "the result is left out"
_DESCRIBES = "it is left out, its result counts"
_NO_OBJECT = "no object can be called so: the result counts for the report itself"
_IDENTIFYING = frozenset({"policy", "rule", "source", "resources", "properties", "result"})


class _Listed(msgspec.Struct, rename="camel"):
    """A constraint's violation, member for member as its reader takes it."""

    kind: str
    name: str
    group: str | None = None
    version: str | None = None
    namespace: str | None = None
    message: str | None = None
    enforcement_action: str | None = None
    enforcement_actions: list[str | None] | None = None


class _Status(msgspec.Struct, rename="camel"):
    audit_timestamp: wire.Time | None = None
    total_violations: int | None = None


def defects(document: Any, group: str) -> Iterator[Defect]:
    """Every defect that can be told, in the order of the object."""
    if not isinstance(document, dict):
        yield (), f"{_named(document)} where an object is due"
        return
    yield from _metadata(document.get("metadata"))
    if group == CONSTRAINTS:
        yield from _constraint(document)
    else:
        yield from _report(document)


def misfit(document: Any, shape: type[msgspec.Struct], then: str) -> Iterator[Defect]:
    """The first member that keeps the document from being of that shape, and what follows from it."""
    return _converts(document, shape, (), then)


def _metadata(metadata: Any) -> Iterator[Defect]:
    if not isinstance(metadata, dict):
        yield ("metadata",), "is missing" if metadata is None else f"{_named(metadata)} where an object is due"
        return
    if not metadata.get("name"):
        yield ("metadata", "name"), "is missing"
    yield from _members(metadata, wire.Metadata, ("metadata",), "it is left out")


def _report(document: dict[str, Any]) -> Iterator[Defect]:
    for name, type_ in (
        ("scope", Reference | None),
        ("source", str | None),
        ("configuration", wire.Configuration),
        ("summary", wire.Summary),
    ):
        if document.get(name) is not None:
            wrong = list(_converts(document[name], type_, (name,), "it is left out"))
            yield from wrong
            if name == "scope" and not wrong:
                scope = msgspec.convert(document[name], Reference)
                if scope.name and not objects.is_object(scope):
                    yield (name,), _NO_OBJECT
    results = document.get("results")
    if results is not None and not isinstance(results, list):
        yield ("results",), f"{_named(results)} where a list is due: no result is read"
        return
    metadata = document.get("metadata")
    namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
    for number, result in enumerate(results or ()):
        yield from _result(result, ("results", number), namespace)


def _result(result: Any, path: Path_, namespace: Any) -> Iterator[Defect]:
    if result is None:
        return
    if not isinstance(result, dict):
        yield path, f"{_named(result)} where an object is due: {_LEFT_OUT}"
        return
    for field in msgspec.structs.fields(wire.Result):
        name = field.encode_name
        if name not in result or name in {"resources", "properties"}:
            continue
        value = wire.stamp(result[name]) if name == "timestamp" else result[name]
        yield from _converts(value, field.type, (*path, name), _then(name))
    properties, resources = result.get("properties"), result.get("resources")
    if not isinstance(properties, dict | None):
        yield (*path, "properties"), f"{_named(properties)} where an object is due: {_LEFT_OUT}"
    if not isinstance(resources, list | None):
        yield (*path, "resources"), f"{_named(resources)} where a list is due: {_LEFT_OUT}"
        resources = None
    yield from _result_word(result, path)
    for number, reference in enumerate(resources or ()):
        if reference is not None:
            yield from _reference(reference, (*path, "resources", number), namespace)


def _result_word(result: dict[str, Any], path: Path_) -> Iterator[Defect]:
    word = result.get("result")
    if word is None or (isinstance(word, str) and word not in _WORDS):
        told = "is missing" if word is None else f"{word!r} is none of {', '.join(_WORDS)}"
        yield (*path, "result"), f"{told}: {_LEFT_OUT}"
    if not result.get("policy") and not result.get("rule") and word not in _NO_VIOLATION:
        yield path, f"names neither a policy nor a rule: {_LEFT_OUT}"


def _reference(reference: Any, path: Path_, namespace: Any) -> Iterator[Defect]:
    wrong = list(_converts(reference, Reference, path, _LEFT_OUT))
    yield from wrong
    if not wrong and reference.get("name") and not objects.is_object(msgspec.convert(reference, Reference)):
        yield path, _NO_OBJECT
        return
    other = None if wrong else reference.get("namespace")
    if namespace and other and other != namespace:
        told = f"{other!r} is another namespace than the report's, {namespace!r}"
        yield (*path, "namespace"), f"{told}: a report speaks within its own, so {_LEFT_OUT}"


def _constraint(document: dict[str, Any]) -> Iterator[Defect]:
    if not isinstance(document.get("kind"), str):
        yield ("kind",), "is missing"
    status = document.get("status")
    if not isinstance(status, dict):
        if status is not None:
            yield ("status",), f"{_named(status)} where an object is due: no violation is read"
        return
    yield from _members(status, _Status, ("status",), "whether the list of violations is whole is not known")
    listed = status.get("violations")
    if not isinstance(listed, list | None):
        yield ("status", "violations"), f"{_named(listed)} where a list is due: no violation is read"
        return
    for number, entry in enumerate(listed or ()):
        if entry is not None:
            yield from _violation(entry, ("status", "violations", number))


def _violation(entry: Any, path: Path_) -> Iterator[Defect]:
    if isinstance(entry, dict):
        described = {name: value for name, value in entry.items() if name not in constraints.NAMING}
        yield from _members(described, _Listed, path, "it is left out, its violation counts")
        entry = {name: value for name, value in entry.items() if name in constraints.NAMING}
    yield from _converts(entry, _Listed, path, "the violation is left out")


def _members(mapping: dict[str, Any], shape: type[msgspec.Struct], path: Path_, then: str) -> Iterator[Defect]:
    for field in msgspec.structs.fields(shape):
        value = mapping.get(field.encode_name)
        if value:
            yield from _converts(value, field.type, (*path, field.encode_name), then)


def _converts(value: Any, type_: Any, path: Path_, then: str) -> Iterator[Defect]:
    """Nothing where the value has the type; else the way to what has not."""
    try:
        msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        told, _, inner = str(error).partition(" - at `$")
        steps = [_step(step) for step in inner.rstrip("`").replace("[", ".[").split(".") if step]
        yield (*path, *steps), f"{told[:1].lower()}{told[1:]}: {then}"


def _step(step: str) -> str | int:
    index = step.strip("[]")
    return int(index) if step.startswith("[") and index.isdecimal() else step


def _then(name: str) -> str:
    return _LEFT_OUT if name in _IDENTIFYING else _DESCRIBES


def _named(value: Any) -> str:
    words = {
        str: "a text",
        bool: "a truth value",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }
    return words.get(type(value), "nothing")
