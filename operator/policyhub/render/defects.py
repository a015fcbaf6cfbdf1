"""The defects of a source object: the path of each member that its reader could not use, and what is wrong with it.

The readers of `sources` only count what they ignore, by the label of a metric. A person needs the path. So this module
reads the results one by one, and finds wrong types with the structs that the reader decodes into.
The reader alone decides what it ignores. Pure: no I/O, no clock.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Any

import msgspec

from policyhub.model.source_apis import CONSTRAINTS
from policyhub.model.violation import Malformed
from policyhub.render.entries import Document, listed, path_of, with_list
from policyhub.render.raw_object import Path_
from policyhub.sources import constraints, problems, reader, wire

Defect = tuple[Path_, str]

_RESULTS = "fail, warn, error, pass, skip"
_IGNORED = "the {noun} is ignored"
_TEXTS = {
    problems.NO_POLICY: f"names neither a policy nor a rule: {_IGNORED}",
    problems.INVALID_OBJECT: "is not a valid object reference: the {noun} is reported for the source object itself",
    problems.FOREIGN_NAMESPACE: "is in namespace {theirs!r}, but the report is in {own!r} and may name only objects"
    " there: " + _IGNORED,
    problems.UNNAMED_OBJECT: "names an object without a name: the {noun} is ignored for this object",
    problems.TEXT_TOO_LONG: "has a text that is too long: it is cut",
    problems.UNPRINTABLE_TEXT: "has a name with invisible characters: they are removed",
}
"""Problem of the reader → its text for people. `noun`: result or violation."""
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")


def defects(document: Document, group: str) -> Iterator[Defect]:
    """Every defect that has a path, in the order of the object."""
    of_constraint = group == CONSTRAINTS
    noun = "violation" if of_constraint else "result"
    entries = listed(document, group)
    bare = with_list(document, group, []) if entries else document
    common = _problems(bare, group)
    for path, message in type_errors(bare, constraints.Constraint if of_constraint else wire.Report):
        yield path, f"{message}: {_loss(path, group, common, noun)}"
    if common is None:
        return
    if common[problems.INVALID_OBJECT]:
        path = ("scope",) if document.get("scope") else ("metadata", "ownerReferences", 0)
        yield path, _TEXTS[problems.INVALID_OBJECT].format(noun=noun)
    for number, entry in enumerate(entries):

        def problems_of(one: Any) -> Counter[str]:
            return (_problems(with_list(document, group, [one]), group) or common) - common

        if found := problems_of(entry):
            shape = constraints.Listed if of_constraint else wire.Result
            for path, message in (
                *_wrong(entry, shape, found, noun),
                *_named(document, entry, found, problems_of, noun),
            ):
                yield (*path_of(group), number, *path), message


def _loss(path: Path_, group: str, common: Counter[str] | None, noun: str) -> str:
    """The consequence of a wrong type outside the list."""
    if common is None:
        return "the object is ignored"
    if common[wire.MALFORMED_RESULT] and path[0] == path_of(group)[0]:
        return f"it is not known whether the list of {noun}s is complete"
    return "this member is ignored"


def _problems(document: Document, group: str) -> Counter[str] | None:
    """The reader's problems; None if it cannot read the object at all."""
    try:
        return Counter(reader.read(group, "", msgspec.json.encode(document), latest=0).problems)
    except Malformed:
        return None


def _wrong(entry: Any, shape: type[msgspec.Struct], found: Counter[str], noun: str) -> Iterator[Defect]:
    """Members with the wrong type, and an invalid `result`."""
    ignored = _IGNORED.format(noun=noun)
    consequence = ignored if found[wire.MALFORMED_RESULT] else f"this member is ignored, its {noun} is used"
    if isinstance(entry, dict):  # the reader accepts these
        accepted = {name for name in ("properties", "data") if isinstance(entry.get(name), dict)}
        entry = {name: value for name, value in entry.items() if name not in accepted}
        entry["timestamp"] = wire.stamp(entry.get("timestamp"))
    for path, message in type_errors(entry, shape):
        yield path, f"{message}: {consequence}"
    if found[problems.UNKNOWN_RESULT] and isinstance(value := entry.get("result") or "", str):
        yield ("result",), f"{f'{value!r} is not one of {_RESULTS}' if value else 'is missing'}: {ignored}"


def _named(
    document: Document, entry: Any, found: Counter[str], problems_of: Callable[[Any], Counter[str]], noun: str
) -> Iterator[Defect]:
    """The reader's other problems, at one of the resources if that resource alone causes it."""
    named = entry.get("resources") if isinstance(entry, dict) else None
    resources = named if isinstance(named, list) else []
    alone = [problems_of({**entry, "resources": [one]}) for one in resources]
    own = _namespace(document.get("metadata"))
    for problem, text in _TEXTS.items():
        if found[problem]:
            at: list[tuple[Path_, Any]]
            at = [
                (("resources", number), resources[number])
                for number, found_alone in enumerate(alone)
                if found_alone[problem]
            ]
            for path, reference in at or [((), document.get("scope"))]:
                yield path, text.format(noun=noun, own=own, theirs=_namespace(reference))


def _namespace(of: Any) -> Any:
    return of.get("namespace") if isinstance(of, dict) else None


def type_errors(document: Any, shape: type[msgspec.Struct]) -> Iterator[Defect]:
    """The members that do not have the types of `shape`; of a list only the first."""
    original = document
    while True:
        try:
            msgspec.convert(document, shape)
        except msgspec.ValidationError as error:
            message, _, steps = str(error).partition(" - at `$")
            path: Path_ = tuple(name or int(number) for name, number in _STEP.findall(steps))
            is_missing = "missing required" in message
            if not is_missing or document is original:  # else `_without` has removed it
                yield path, message[:1].lower() + message[1:]
            member = list(takewhile(lambda part: isinstance(part, str), path))
            if not member or is_missing:
                return
            document = _without(document, member)
        else:
            return


def _without(document: Document, path: list[Any]) -> Document:
    first, *rest = path
    others = {name: value for name, value in document.items() if name != first}
    return {**others, first: _without(document[first], rest)} if rest else others
