"""The provenance of each field of a finding: the inputs that change the field when they change.

The operator's own reader and mapping run again on the source object, with one member changed at a time, and with one
setting of the cluster or hub changed at a time. So this module knows nothing about the mapping.

| member                                | changed                                                                     |
|---------------------------------------|-----------------------------------------------------------------------------|
| a text                                | into a word that is both a valid result and a valid severity                |
| a text whose change removes the       | together with all equal texts: a resource must be in its report's namespace |
|   finding                             |                                                                             |
| a member of several results of the    | in all of them at once, or the others would keep the old value              |
|   finding                             |                                                                             |
| a time, a number, a boolean           | into another                                                                |
| the list, for a notice that a list is | in its length                                                               |
|   truncated                           |                                                                             |

Of several objects that claim the finding, only the representative one is changed. It provides every field except the
earliest time, which may come from another one. Pure: no I/O, no clock.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, Final

import msgspec

from policyhub.clock import WallMs
from policyhub.findings.identity import finding_id
from policyhub.findings.rollup import merged_by_identity, rolled_up
from policyhub.render.collector import Collector, Inputs, mapped
from policyhub.render.entries import Document, Place, decoded, each, listed, only, path_of, with_list
from policyhub.render.raw_object import Location, Path_, joined
from policyhub.render.target import cluster_of
from policyhub.sources.severity import severity_of
from policyhub.sources.truncation import is_notice
from policyhub.sources.violation import Malformed, SourceKey, Subject, Violation
from policyhub.sync.admitted import claim
from policyhub.sync.entry import Entry
from policyhub.sync.statement import Claim

Finding = dict[str, Any]
Member = tuple[str, ...]
"""A path with `*` for each index: the same member of several results."""

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:")
_OTHER_TIME: Final = "2020-02-02T02:02:02Z"
_REFERENCE: Final = frozenset({"apiVersion", "group", "version", "kind", "namespace", "name"})
"""Members of a reference: if several change a field, the reference is shown instead of each."""
_SHOWN: Final = 3
"""Places that are shown of one member."""
_MOST: Final = 1_000
"""Members of one object that are changed at most. A report has some thirty beside its results."""
_NOTHING: Final = "constant"


class _Case(msgspec.Struct, frozen=True):
    """The source of a finding."""

    key: SourceKey
    raw: bytes
    """The source object. Results and resources that do not belong to the finding are replaced by null."""
    subjects: dict[Subject, Subject]
    """Object of a result → its rollup target."""
    is_notice: bool
    prefix: str
    """The prefix of labels of the result's object: its controller replaces it in the finding."""


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


class Provenance:
    """Explains the findings of a collector that kept its objects."""

    def __init__(self, intake: Collector) -> None:
        self._intake = intake
        self._made: dict[tuple[Violation, WallMs | None, Inputs], Finding] = {}
        """Results of the mapping for the finding that is being explained: most members change nothing."""
        self._last: tuple[SourceKey, dict[str, list[Place]], dict[Subject, Subject]] | None = None

    def claimants(self, entry: Entry) -> list[str]:
        """The objects that claim the finding, with their locations; the representative one first."""
        first = _claimant(entry)
        keys = [first, *(key for key, _ in entry.claims if key != first)]
        return [_named(key, self._intake.provenance[key].location) for key in keys]

    def explain(self, entry: Entry, finding: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """Each field: its path, its value, and its provenance."""
        self._made.clear()
        case = self._case(entry)
        inputs = self._intake.inputs(entry)
        base, _ = self._run(case, case.raw, inputs)
        found: dict[str, list[str]] = defaultdict(list)
        for label, other in self._settings(inputs):
            for path in _changed(base, self._run(case, case.raw, other)[0]):
                found[path].append(label)
        for path, labels in self._members(case, base, inputs):
            found[path] += labels
        if base is None or base["CreatedAt"] != finding["CreatedAt"]:
            earliest = [f"the earliest time that {len(entry.claims)} objects give"]
            found |= {"CreatedAt": earliest, "FirstObservedAt": earliest}
        return [(path, value, ", ".join(dict.fromkeys(found[path])) or _NOTHING) for path, value in fields(finding)]

    def _settings(self, inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
        """The inputs with one setting changed, each with the label of that setting."""
        origins, of = self._intake.target.origins, inputs.cluster
        settings: dict[str, Any] = {
            "cluster_name": of.name, "cluster_arn": of.arn, "cluster_uid": of.uid,
            "account_id": of.account, "region": of.region,
        }  # fmt: skip
        for name, value in settings.items():
            for word in ("error", "cn-error-1") if value else ():
                yield origins[name], msgspec.structs.replace(inputs, cluster=cluster_of(**(settings | {name: word})))
        yield "the time of rendering (--now)", msgspec.structs.replace(inputs, now=WallMs(int(inputs.now) + 1000))
        yield "apiVersion, kind", msgspec.structs.replace(inputs, origin="error")
        yield "the default severity, since none is stated", msgspec.structs.replace(inputs, default_severity="LOW")

    def _members(self, case: _Case, base: Finding | None, inputs: Inputs) -> Iterator[tuple[str, list[str]]]:
        """Field → the members of the source object that change it."""
        document, group = msgspec.json.decode(case.raw), case.key.group
        others = _leaves(with_list(document, group, []))
        leaves = list(islice(chain(others, _leaves(listed(document, group), path_of(group))), _MOST))
        members: dict[Member, list[tuple[Path_, Any]]] = defaultdict(list)
        for path, value in leaves:
            members[_wild(path, group)].append((path, value))
        found: dict[str, dict[Member, str]] = defaultdict(dict)
        for member, ((_, value), *_) in members.items():
            made, moved = self._run(case, _with(case.raw, members[member], _other(value)), inputs)
            if not made:
                equals = (leaf for leaf in leaves if leaf[1] == value)
                made, moved = self._run(case, _with(case.raw, equals, _other(value)), inputs)
            for field in _changed(base, made):
                found[field][member] = case.prefix if moved else ""
        places = {member: [path for path, _ in parts] for member, parts in members.items()}
        if case.is_notice:
            list_ = path_of(group)
            places[list_] = [list_]
            for field in _changed(base, self._run(case, _shorter(case), inputs)[0]):
                found[field][list_] = "the length of "
        for field, prefixes in found.items():
            yield field, _labels(prefixes, places)

    # -- running the mapping --------------------------------------------------------------------------------------

    def _run(self, case: _Case, raw: bytes, inputs: Inputs) -> tuple[Finding | None, bool]:
        """The finding, or None if there is none; and whether it is about another object."""
        intake = self._intake
        try:
            reading = intake.read(case.key.group, case.key.resource, raw)
        except Malformed:
            return None, False
        claims, moved = list[Claim](), False
        if case.is_notice:
            claims = [] if reading.notice is None else [claim(reading.notice, reading.newest, reading)]
        for said, second in () if case.is_notice else reading.violations:
            violation, observed = claim(intake.enriched(said), second, reading)
            subject = case.subjects.get(said.subject)
            moved = moved or subject is None
            if intake.rollup is not None:
                violation = rolled_up(violation, subject or said.subject)
            claims.append((violation, observed))
        if not claims:
            return None, False
        violation, observed = merged_by_identity(claims)[0]
        made = violation, observed, inputs
        if made not in self._made:
            self._made[made] = mapped(*made)
        return self._made[made], moved

    def _case(self, entry: Entry) -> _Case:
        key, said = _claimant(entry), entry.representative
        raw = self._intake.provenance[key].raw
        if said is None or is_notice(said):
            return _Case(key, msgspec.json.encode(decoded(raw)), {}, is_notice=True, prefix="")
        document: Document = decoded(raw)
        if self._last is None or self._last[0] != key:
            self._last = (key, *self._index(key, document))
        _, places, subjects = self._last
        kept = msgspec.json.encode(only(document, key.group, places[entry.id]))
        return _Case(key, kept, subjects, is_notice=False, prefix="" if said.own else "the controller of ")

    def _index(self, key: SourceKey, document: Document) -> tuple[dict[str, list[Place]], dict[Subject, Subject]]:
        """Finding → its results and resources; and object → its rollup target."""
        found: dict[str, list[Place]] = defaultdict(list)
        subjects: dict[Subject, Subject] = {}
        for place in each(document, key.group):
            raw = msgspec.json.encode(only(document, key.group, [place]))
            for violation in self._intake.read(key.group, key.resource, raw).plain_violations:
                counted = self._intake.counted(violation)
                if counted is not None:
                    subjects[violation.subject] = counted.subject
                    found[finding_id(self._intake.target.cluster.id, counted.identity)].append(place)
        return found, subjects


def _claimant(entry: Entry) -> SourceKey:
    """The object with the representative claim; of several, one of the finding's source API."""
    keys = [key for key, said in entry.claims if said == entry.representative]
    return next((key for key in keys if key.source_api == entry.source_api), keys[0])


def _named(key: SourceKey, place: Location) -> str:
    """The object's name and, unless it repeats the name, its location."""
    name = f"{key.source_api} {key.namespace}/{key.name}" if key.namespace else f"{key.source_api} {key.name}"
    return name if str(place) == name else f"{name} ({place})"


# -- parts of a document ----------------------------------------------------------------------------------------------


def _shorter(case: _Case) -> bytes:
    document = msgspec.json.decode(case.raw)
    return msgspec.json.encode(with_list(document, case.key.group, listed(document, case.key.group)[1:]))


def _leaves(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, (*path, key))
    elif value is not None:
        yield path, value


def _wild(path: Path_, group: str) -> Member:
    list_ = path_of(group)
    is_within = path[: len(list_)] == list_
    return tuple("*" if is_within and isinstance(part, int) else str(part) for part in path)


def _other(value: Any) -> Any:
    """The value that replaces it."""
    if not isinstance(value, str):
        return not value if isinstance(value, bool) else value + 1
    if _TIME.match(value):
        return _OTHER_TIME
    return "fail" if severity_of(value) == severity_of("error") else "error"


def _with(raw: bytes, leaves: Iterable[tuple[Path_, Any]], value: Any) -> bytes:
    document = msgspec.json.decode(raw)
    for (*path, last), _ in leaves:
        of = document
        for part in path:
            of = of[part]
        of[last] = value
    return msgspec.json.encode(document)


# -- labels -----------------------------------------------------------------------------------------------------------


def _changed(base: Any, made: Any, path: str = "") -> Iterator[str]:
    """The fields that differ; none if there is no finding to compare."""
    if base == made or (made is None and not path):
        return
    if isinstance(base, dict):
        for key, value in base.items():
            other = made.get(key) if isinstance(made, dict) else None
            yield from _changed(value, other, f"{path}.{key}" if path else key)
    elif isinstance(base, list):
        for number, value in enumerate(base):
            other = made[number] if isinstance(made, list) and number < len(made) else None
            yield from _changed(value, other, f"{path}[{number}]")
    else:
        yield path


def _labels(members: Mapping[Member, str], places: Mapping[Member, list[Path_]]) -> list[str]:
    """The label of each member. Several members of one reference have one label."""
    of_one = Counter(member[:-1] for member in members if member[-1] in _REFERENCE and len(member) > 1)
    labels = []
    for member, prefix in members.items():
        inner = 1 if member[-1] in _REFERENCE and of_one[member[:-1]] > 1 else 0
        named = list(dict.fromkeys(joined("", place[: len(place) - inner]) for place in places[member]))
        more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
        labels.append(prefix + ", ".join(named[:_SHOWN]) + more)
    return labels
