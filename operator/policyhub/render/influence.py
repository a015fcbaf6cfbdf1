"""Which members of a source object change which fields of its finding, found by changing them and mapping it again.

| member                                | changed                                                                     |
|---------------------------------------|-----------------------------------------------------------------------------|
| a text                                | into a word that is both a valid result and a valid severity                |
| a severity                            | into each other severity too: the word may give the same one                |
| a text whose change removes the       | together with all equal texts: a resource must be in its report's namespace |
|   finding                             |                                                                             |
| a member of several results of the    | in all of them at once, or the others would keep the old value              |
|   finding                             |                                                                             |
| a time, a number, a boolean           | into another                                                                |

For a field that none of these changes, each member is removed, then all are changed at once: two members may give the
same value. This module knows nothing about the mapping. Pure: no I/O, no clock.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from policyhub.model.severity import severity_of
from policyhub.render.entries import listed, path_of, with_list
from policyhub.render.raw_object import Path_
from policyhub.sources.merge import SEVERITY_RANK

Finding = dict[str, Any]
Member = tuple[str, ...]
"""A path with `*` for each index: the same member of several results."""
Run = Callable[[bytes], tuple[Finding | None, bool]]
"""A source object → its finding, or None; and whether that is about another object."""

MOST: Final = 1_000
"""Members of one object that are changed at most. A report has some thirty."""
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:")
_OTHER_TIME: Final = "2020-02-02T02:02:02Z"


class Influences:
    def __init__(self, raw: bytes, group: str, *, run: Run, base: Finding | None) -> None:
        """`base`: the finding of the unchanged object."""
        document = msgspec.json.decode(raw)
        self._raw = raw
        self._run = run
        self._base = base
        self._leaves = [
            *_leaves(listed(document, group), path_of(group)),
            *_leaves(with_list(document, group, [])),
        ]
        members: dict[Member, list[tuple[Path_, Any]]] = defaultdict(list)
        for path, value in self._leaves:
            members[_with_wildcards(path, group)].append((path, value))
        self.is_whole = len(members) <= MOST
        """Whether every member is changed."""
        self._members = dict(islice(members.items(), MOST))
        self._kept: dict[Member, Any] = {}
        """Member → a value with which there still is a finding."""

    def paths(self, member: Member) -> list[Path_]:
        return [path for path, _ in self._members[member]]

    def alone(self) -> dict[str, dict[Member, bool]]:
        """Field → members that change it, and whether the finding then is about another object."""
        found: dict[str, dict[Member, bool]] = defaultdict(dict)
        for member, ((_, value), *_) in self._members.items():
            for other in _replacements(value):
                finding, moved = self._with({member: other})
                if finding is not None:
                    self._kept.setdefault(member, other)
                elif member not in self._kept:
                    equals = (path for path, one in self._leaves if one == value)
                    finding, moved = self._run(_with(self._raw, ((path, other) for path in equals)))
                for field in changed(self._base, finding):
                    found[field][member] = found[field].get(member, False) or moved
        return found

    def removed(self, unexplained: set[str]) -> dict[str, dict[Member, bool]]:
        """As `alone`, for these fields, if a member is removed."""
        found: dict[str, dict[Member, bool]] = defaultdict(dict)
        for member in self._members:
            finding, moved = self._with({member: None})
            left = {path for path, _ in fields(finding)}  # a field that only disappears says nothing about its value
            for field in left & unexplained.intersection(changed(self._base, finding)):
                found[field][member] = moved
        return found

    def together(self, unexplained: set[str]) -> dict[str, list[Member]]:
        """Field → a smallest group of members that change it together."""
        found: dict[str, list[Member]] = {}
        for field in sorted(unexplained.intersection(changed(self._base, self._with(self._kept)[0]))):
            group = dict(self._kept)
            for member in self._kept:
                smaller = {name: value for name, value in group.items() if name != member}
                if field in changed(self._base, self._with(smaller)[0]):
                    group = smaller
            found[field] = list(group)
        return found

    def _with(self, values: Mapping[Member, Any]) -> tuple[Finding | None, bool]:
        parts = ((path, value) for member, value in values.items() for path in self.paths(member))
        return self._run(_with(self._raw, parts))


def fields(finding: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every leaf of the finding: its path and its value."""
    if isinstance(finding, dict):
        for key, value in finding.items():
            yield from fields(value, f"{path}.{key}" if path else key)
    elif isinstance(finding, list):
        for number, value in enumerate(finding):
            yield from fields(value, f"{path}[{number}]")
    else:
        yield path, str(finding)


def changed(base: Any, finding: Any, path: str = "") -> Iterator[str]:
    """The fields that differ; none if there is no finding to compare."""
    if base == finding or (finding is None and not path):
        return
    if isinstance(base, dict):
        for key, value in base.items():
            other = finding.get(key) if isinstance(finding, dict) else None
            yield from changed(value, other, f"{path}.{key}" if path else key)
    elif isinstance(base, list):
        for number, value in enumerate(base):
            other = finding[number] if isinstance(finding, list) and number < len(finding) else None
            yield from changed(value, other, f"{path}[{number}]")
    else:
        yield path


def _leaves(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, (*path, key))
    elif value is not None:
        yield path, value


def _with_wildcards(path: Path_, group: str) -> Member:
    list_ = path_of(group)
    is_within = path[: len(list_)] == list_
    return tuple("*" if is_within and isinstance(part, int) else str(part) for part in path)


def _replacements(value: Any) -> Iterator[Any]:
    """The values that replace it."""
    if not isinstance(value, str):
        yield not value if isinstance(value, bool) else value + 1
    elif _TIME.match(value):
        yield _OTHER_TIME
    else:
        severity = severity_of(value)
        yield "fail" if severity == severity_of("error") else "error"
        if severity is not None:
            yield from (name.lower() for name in SEVERITY_RANK if name != severity)


def _with(raw: bytes, parts: Iterable[tuple[Path_, Any]]) -> bytes:
    """The document with other values at these paths."""
    document = msgspec.json.decode(raw)
    for (*path, last), value in parts:
        of = document
        for part in path:
            of = of[part]
        of[last] = value
    return msgspec.json.encode(document)
