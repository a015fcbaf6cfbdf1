"""The provenance of each field of a finding: the inputs that change the field when they change.

The operator's own reader and mapping run again on the source object, with one member changed at a time
(render/influence.py), and with one setting of the cluster or hub changed at a time. So this module knows nothing about
the mapping. For a notice that a list is truncated, the length of the list is changed too.

Of several objects that claim the finding, only the representative one is changed. It provides every field except the
earliest time, which may come from another one. Pure: no I/O, no clock.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from policyhub.clock import WallMs
from policyhub.findings.identity import finding_id
from policyhub.findings.rollup import merged_by_identity, rolled_up
from policyhub.model.violation import Malformed, SourceKey, Subject, Violation
from policyhub.render.collector import Collector, Inputs, mapped
from policyhub.render.entries import Document, Position, decoded, each, listed, only, path_of, with_list
from policyhub.render.influence import MOST, Finding, Influences, Member, changed, fields
from policyhub.render.raw_object import Location, Path_, joined
from policyhub.render.target import cluster_of
from policyhub.sources.truncation import is_notice
from policyhub.sync.admitted import claim
from policyhub.sync.entry import Entry
from policyhub.sync.statement import Claim

_REFERENCE: Final = frozenset({"apiVersion", "group", "version", "kind", "namespace", "name"})
"""Members of a reference: if several change a field, the reference is shown instead of each."""
_SHOWN: Final = 3
"""Paths of one member that are shown."""
_CONSTANT: Final = "constant"
_UNKNOWN: Final = f"not examined: the object has more than {MOST:,} members"


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


class Provenance:
    """Explains the findings of a collector that kept its objects."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._mapped: dict[tuple[Violation, WallMs | None, Inputs], Finding] = {}
        """Results of the mapping for the finding that is being explained: most members change nothing."""
        self._last: tuple[SourceKey, dict[str, list[Position]], dict[Subject, Subject]] | None = None

    def claimants(self, entry: Entry) -> list[str]:
        """The objects that claim the finding, with their locations; the representative one first."""
        first = _claimant(entry)
        keys = [first, *(key for key, _ in entry.claims if key != first)]
        return [_named(key, self._collector.provenance[key].location) for key in keys]

    def explain(self, entry: Entry, finding: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """Each field: its path, its value, and its provenance."""
        self._mapped.clear()
        case = self._case(entry)
        inputs = self._collector.inputs(entry)
        base, _ = self._run(case, case.raw, inputs)
        found: dict[str, list[str]] = defaultdict(list)
        for label, other in self._settings(inputs):
            for path in changed(base, self._run(case, case.raw, other)[0]):
                found[path].append(label)
        is_whole = self._members(case, base, inputs, found)
        if base is None or base["CreatedAt"] != finding["CreatedAt"]:
            earliest = [f"the earliest time in {len(entry.claims)} objects"]
            found |= {"CreatedAt": earliest, "FirstObservedAt": earliest}
        otherwise = _CONSTANT if is_whole else _UNKNOWN
        return [(path, value, ", ".join(dict.fromkeys(found[path])) or otherwise) for path, value in fields(finding)]

    def _settings(self, inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
        """The inputs with one setting changed, each with the label of that setting."""
        origins, cluster = self._collector.target.origins, inputs.cluster
        settings: dict[str, Any] = {
            "cluster_name": cluster.name, "cluster_arn": cluster.arn, "cluster_uid": cluster.uid,
            "account_id": cluster.account, "region": cluster.region,
        }  # fmt: skip
        for name, value in settings.items():
            for other in ("error", "cn-error-1") if value else ():
                yield origins[name], msgspec.structs.replace(inputs, cluster=cluster_of(**(settings | {name: other})))
        yield "the time of rendering (--now)", msgspec.structs.replace(inputs, now=WallMs(int(inputs.now) + 1000))
        yield "apiVersion, kind", msgspec.structs.replace(inputs, source_api="error")
        yield "the default severity, because none is given", msgspec.structs.replace(inputs, default_severity="LOW")

    def _members(self, case: _Case, base: Finding | None, inputs: Inputs, found: dict[str, list[str]]) -> bool:
        """Adds the members of the source object that change each field. Returns whether all members were changed."""
        influences = Influences(case.raw, case.key.group, run=partial(self._run, case, inputs=inputs), base=base)
        unexplained = {path for path, _ in fields(base)} - found.keys()
        alone = influences.alone()
        unexplained -= alone.keys()
        alone |= influences.removed(unexplained)
        for field, members in alone.items():
            found[field] += _labels(members, influences.paths, case.prefix)
        if case.is_notice:
            for field in changed(base, self._run(case, _shorter(case), inputs)[0]):
                found[field].append(f"the length of {joined('', path_of(case.key.group))}")
        for field, group in influences.together(unexplained - found.keys()).items():
            found[field].append(" with ".join(_labels(dict.fromkeys(group, False), influences.paths, "")))
        return influences.is_whole

    # -- running the mapping --------------------------------------------------------------------------------------

    def _run(self, case: _Case, raw: bytes, inputs: Inputs) -> tuple[Finding | None, bool]:
        """The finding, or None if there is none; and whether it is about another object."""
        collector = self._collector
        try:
            reading = collector.read(case.key.group, case.key.resource, raw)
        except Malformed:
            return None, False
        claims, moved = list[Claim](), False
        if case.is_notice:
            claims = [] if reading.notice is None else [claim(reading.notice, reading.newest, reading)]
        for source, second in () if case.is_notice else reading.violations:
            violation, observed = claim(collector.enriched(source), second, reading)
            subject = case.subjects.get(source.subject)
            moved = moved or subject is None
            if collector.rollup is not None:
                violation = rolled_up(violation, subject or source.subject)
            claims.append((violation, observed))
        if not claims:
            return None, False
        violation, observed = merged_by_identity(claims)[0]
        arguments = violation, observed, inputs
        if arguments not in self._mapped:
            self._mapped[arguments] = mapped(*arguments)
        return self._mapped[arguments], moved

    def _case(self, entry: Entry) -> _Case:
        key, representative = _claimant(entry), entry.representative
        raw = self._collector.provenance[key].raw
        if representative is None or is_notice(representative):
            return _Case(key, msgspec.json.encode(decoded(raw)), {}, is_notice=True, prefix="")
        document: Document = decoded(raw)
        if self._last is None or self._last[0] != key:
            self._last = (key, *self._index(key, document))
        _, positions, subjects = self._last
        kept = msgspec.json.encode(only(document, key.group, positions[entry.id]))
        return _Case(key, kept, subjects, is_notice=False, prefix="" if representative.own else "the controller of ")

    def _index(self, key: SourceKey, document: Document) -> tuple[dict[str, list[Position]], dict[Subject, Subject]]:
        """Finding → its results and resources; and object → its rollup target."""
        found: dict[str, list[Position]] = defaultdict(list)
        subjects: dict[Subject, Subject] = {}
        for position in each(document, key.group):
            raw = msgspec.json.encode(only(document, key.group, [position]))
            for violation in self._collector.read(key.group, key.resource, raw).plain_violations:
                rolled = self._collector.at_target(violation)
                if rolled is not None:
                    subjects[violation.subject] = rolled.subject
                    found[finding_id(self._collector.target.cluster.id, rolled.identity)].append(position)
        return found, subjects


def _claimant(entry: Entry) -> SourceKey:
    """The object with the representative claim; of several, one of the finding's source API."""
    keys = [key for key, violation in entry.claims if violation == entry.representative]
    return next((key for key in keys if key.source_api == entry.source_api), keys[0])


def _named(key: SourceKey, location: Location) -> str:
    """The object's name and, unless it repeats the name, its location."""
    name = f"{key.source_api} {key.namespace}/{key.name}" if key.namespace else f"{key.source_api} {key.name}"
    return name if str(location) == name else f"{name} ({location})"


# -- parts of a document ----------------------------------------------------------------------------------------------


def _shorter(case: _Case) -> bytes:
    document = msgspec.json.decode(case.raw)
    return msgspec.json.encode(with_list(document, case.key.group, listed(document, case.key.group)[1:]))


# -- labels -----------------------------------------------------------------------------------------------------------


def _labels(members: Mapping[Member, bool], paths: Callable[[Member], list[Path_]], prefix: str) -> list[str]:
    """The label of each member, with the prefix if the finding moves to another object. Several members of one
    reference have one label.
    """
    of_one = Counter(member[:-1] for member in members if member[-1] in _REFERENCE and len(member) > 1)
    labels = []
    for member, moved in members.items():
        inner = 1 if member[-1] in _REFERENCE and of_one[member[:-1]] > 1 else 0
        named = list(dict.fromkeys(joined("", path[: len(path) - inner]) for path in paths(member)))
        more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
        labels.append((prefix if moved else "") + ", ".join(named[:_SHOWN]) + more)
    return labels
