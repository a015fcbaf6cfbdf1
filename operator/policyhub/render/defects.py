"""The defects of a source object: the path of each member that its reader could not use, and what is wrong with it.

The readers of `sources` count what they leave out by a fixed word, which is the label of a metric. A person needs the
path. So this module reads the results one by one, and finds wrong types with the structs that the reader decodes into.
The reader alone decides what it leaves out. Pure: no I/O, no clock.
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
_LEFT_OUT = "the {noun} is left out"
_TOLD = {
    problems.NO_POLICY: f"names neither a policy nor a rule: {_LEFT_OUT}",
    problems.INVALID_OBJECT: "no object can be called so: the {noun} counts for the source object itself",
    problems.FOREIGN_NAMESPACE: "is in namespace {theirs!r}, but the report is in {own!r} and speaks only for that: "
    + _LEFT_OUT,
    problems.UNNAMED_OBJECT: "names an object without a name: the {noun} is left out for it",
    problems.TEXT_TOO_LONG: "has a text that is too long: it is cut",
    problems.UNPRINTABLE_TEXT: "has a name with characters that cannot be seen: it is written without them",
}
"""Problem of the reader → its text for people. `noun`: result or violation."""
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")


def defects(document: Document, group: str) -> Iterator[Defect]:
    """Every defect that has a path, in the order of the object."""
    of_constraint = group == CONSTRAINTS
    noun = "violation" if of_constraint else "result"
    entries = listed(document, group)
    bare = with_list(document, group, []) if entries else document
    common = _words(bare, group)
    for path, message in misfits(bare, constraints.Constraint if of_constraint else wire.Report):
        yield path, f"{message}: {_loss(path, group, common, noun)}"
    if common is None:
        return
    if common[problems.INVALID_OBJECT]:
        place = ("scope",) if document.get("scope") else ("metadata", "ownerReferences", 0)
        yield place, _TOLD[problems.INVALID_OBJECT].format(noun=noun)
    for number, entry in enumerate(entries):

        def of(one: Any) -> Counter[str]:
            return (_words(with_list(document, group, [one]), group) or common) - common

        if found := of(entry):
            shape = constraints.Listed if of_constraint else wire.Result
            for path, message in (*_wrong(entry, shape, found, noun), *_named(document, entry, found, of, noun)):
                yield (*path_of(group), number, *path), message


def _loss(path: Path_, group: str, common: Counter[str] | None, noun: str) -> str:
    """What a wrong type outside the list costs."""
    if common is None:
        return "the whole object is left out"
    if common[wire.MALFORMED_RESULT] and path[0] == path_of(group)[0]:
        return f"it is not known whether the list of {noun}s is complete"
    return "it is left out"


def _words(document: Document, group: str) -> Counter[str] | None:
    """The reader's problems; None if it cannot read the object at all."""
    try:
        return Counter(reader.read(group, "", msgspec.json.encode(document), latest=0).problems)
    except Malformed:
        return None


def _wrong(entry: Any, shape: type[msgspec.Struct], found: Counter[str], noun: str) -> Iterator[Defect]:
    """Members with the wrong type, and an invalid `result`."""
    left_out = _LEFT_OUT.format(noun=noun)
    then = left_out if found[wire.MALFORMED_RESULT] else f"it is left out, its {noun} counts"
    if isinstance(entry, dict):  # the reader accepts these
        taken = {name for name in ("properties", "data") if isinstance(entry.get(name), dict)}
        entry = {name: value for name, value in entry.items() if name not in taken}
        entry["timestamp"] = wire.stamp(entry.get("timestamp"))
    for path, message in misfits(entry, shape):
        yield path, f"{message}: {then}"
    if found[problems.UNKNOWN_RESULT] and isinstance(word := entry.get("result") or "", str):
        yield ("result",), f"{f'{word!r} is none of {_RESULTS}' if word else 'is missing'}: {left_out}"


def _named(
    document: Document, entry: Any, found: Counter[str], words: Callable[[Any], Counter[str]], noun: str
) -> Iterator[Defect]:
    """The reader's other problems, at one of the resources if that resource alone causes it."""
    named = entry.get("resources") if isinstance(entry, dict) else None
    resources = named if isinstance(named, list) else []
    alone = [words({**entry, "resources": [one]}) for one in resources]
    own = _namespace(document.get("metadata"))
    for word, told in _TOLD.items():
        if found[word]:
            at: list[tuple[Path_, Any]]
            at = [(("resources", number), resources[number]) for number, of in enumerate(alone) if of[word]]
            for path, reference in at or [((), document.get("scope"))]:
                yield path, told.format(noun=noun, own=own, theirs=_namespace(reference))


def _namespace(of: Any) -> Any:
    return of.get("namespace") if isinstance(of, dict) else None


def misfits(document: Any, shape: type[msgspec.Struct]) -> Iterator[Defect]:
    """The members that do not have the types of `shape`; of a list only the first."""
    whole = document
    while True:
        try:
            msgspec.convert(document, shape)
        except msgspec.ValidationError as error:
            message, _, steps = str(error).partition(" - at `$")
            path: Path_ = tuple(name or int(number) for name, number in _STEP.findall(steps))
            is_lacking = "missing required" in message
            if not is_lacking or document is whole:  # else `_without` has removed it
                yield path, message[:1].lower() + message[1:]
            member = list(takewhile(lambda part: isinstance(part, str), path))
            if not member or is_lacking:
                return
            document = _without(document, member)
        else:
            return


def _without(document: Document, path: list[Any]) -> Document:
    first, *rest = path
    others = {name: value for name, value in document.items() if name != first}
    return {**others, first: _without(document[first], rest)} if rest else others
