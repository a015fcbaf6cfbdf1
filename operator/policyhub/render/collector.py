"""Collects source objects, and renders the findings that the operator would send for them.

It handles an object as the operator's `ReportSink` does (read, admit, into the ledger), and renders a finding as the
operator's engine does if Security Hub does not have it. Findings are rendered after everything is read, since another
object may report the same violation. So the findings are kept in memory, not the objects.

The Pods, ReplicaSets and Jobs among the objects decide what results on them roll up to. Without them nothing rolls up,
as in a cluster where the operator may not list them.

No I/O, no clock: `now` is given.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import msgspec

from policyhub.clock import SteadyMs, WallMs
from policyhub.findings import asff
from policyhub.findings.digest import digest
from policyhub.findings.identity import finding_id
from policyhub.findings.rollup import is_rolled_up, rolled_up
from policyhub.kube.resource import Resource
from policyhub.kube.sink import ReflectorState
from policyhub.model.source_apis import SOURCE_GROUPS, plural_of
from policyhub.model.violation import Malformed, ParsedReport, Severity, SourceKey, Subject, Violation
from policyhub.render.defects import defects, type_errors
from policyhub.render.entries import decoded
from policyhub.render.raw_object import Location, RawObject, ReadError, line_of
from policyhub.render.target import Target
from policyhub.sources import reader
from policyhub.sources.reports import PLAUSIBLE_AHEAD_SECONDS
from policyhub.sync.admitted import admit
from policyhub.sync.entry import Entry
from policyhub.sync.ledger import Ledger
from policyhub.sync.owner_reference import Object
from policyhub.sync.owners import JOBS, PODS, REPLICASETS, Owners, Unresolved
from policyhub.sync.policy_metadata import PolicyMetadata, policies
from policyhub.sync.rollup import Rollup
from policyhub.sync.superseded import Superseded

OWNERS = {(resource.group, resource.kind): resource for resource in (PODS, REPLICASETS, JOBS)}
_ENDED = frozenset({"Succeeded", "Failed"})
"""Phases of Pods that are ignored; the operator does not list them."""
_MOST_DEFECTS = 10
"""Defects of one object that are reported one by one."""


class Head(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    items: list[msgspec.Raw] | None = None


class _Status(msgspec.Struct):
    phase: str = ""


class _Owner(Object):
    status: _Status | None = None


_head = msgspec.json.Decoder(Head)
_owner = msgspec.json.Decoder(_Owner)


class ReadObject(msgspec.Struct, frozen=True):
    """A source object, kept if its findings are to be explained."""

    location: Location
    raw: bytes


class Inputs(msgspec.Struct, frozen=True):
    """The arguments of the mapping beside the violation."""

    cluster: asff.Cluster
    now: WallMs
    source_api: str
    default_severity: Severity


class Collector:
    """Call `take` for each object, then `finish`, then `findings`."""

    def __init__(
        self, target: Target, *, now: WallMs, report_error: Callable[[ReadError], None], keep: bool = False
    ) -> None:
        """`now` is the time of both clocks. `report_error` gets each read error. `keep`: keep the objects, for
        `Provenance`.
        """
        self.target = target
        self.now = now
        self._steady = steady = SteadyMs(int(now))
        self.ledger = Ledger(
            cluster_id=target.cluster.id,
            cluster_uid=target.cluster.uid,
            default_severity=target.filter.default_severity,
            on_dirty=lambda: None,
        )
        self.ledger.observed.take_part("", [], now=steady)  # as if Security Hub was read and has no finding
        self.rollup: Rollup | None = None
        self.owners = Owners(now=lambda: steady, on_change=self._shift, on_malformed=_unexpected, verify=False)
        if target.roll_up:
            self.rollup = self.ledger.sources.ownership = Rollup(ledger=self.ledger, owners=self.owners)
        for sink in self.owners.sinks.values():
            sink.begin()
        self.policies = PolicyMetadata(now=lambda: steady, on_malformed=_unexpected)
        self.owned = 0
        """How many Pods, ReplicaSets and Jobs were read."""
        self.rolled_up: Counter[Subject] = Counter()
        """Pod, ReplicaSet or Job → its violations."""
        self.objects: Counter[str] = Counter()
        """Source API → source objects that were read."""
        self.others: Counter[str] = Counter()
        """Kind that is not a source → its objects."""
        self.versions: Counter[str] = Counter()
        """API version that the operator does not read in a cluster → its objects, which are read here."""
        self.left_out: Counter[str] = Counter()
        """Engine → violations that were filtered out; also API group that is not enabled → its objects."""
        self.unlisted = 0
        """Violations that constraints count but do not list."""
        self.unreadable = 0
        self.provenance: dict[SourceKey, ReadObject] = {}
        self._report_error = report_error
        self._keep = keep
        self._superseded = Superseded()

    def fail(self, error: ReadError) -> None:
        self.unreadable += 1
        self._report_error(error)

    def take(self, item: RawObject) -> None:
        try:
            head = _head.decode(item.raw)
        except msgspec.ValidationError as error:
            self.fail(ReadError(item.location, f"not a Kubernetes object: {error}"))
            return
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.fail(ReadError(item.location, f"invalid JSON: {error}"))
            return
        if head.items is not None and head.kind.endswith("List"):
            for number, raw in enumerate(head.items):
                self.take(RawObject(item.location.within(("items", number)), raw, head.api_version, head.kind))
            return
        api_version, kind = head.api_version or item.api_version, head.kind or item.kind.removesuffix("List")
        group, _, version = api_version.rpartition("/")
        resource = plural_of(group, kind)
        if (group, kind) in OWNERS and self.rollup is not None:
            self.add_owner(item, OWNERS[group, kind])
        elif self.target.enrichment and (of := policies(group, version, kind)) is not None:
            self.add_policy(item, of)
        elif not resource or not kind:
            self.others[kind or "an object without a kind"] += 1
        elif group not in self.target.groups:
            self.left_out[group] += 1
        else:
            if version not in SOURCE_GROUPS[group].versions:
                self.versions[api_version] += 1
            self._source(item, group, resource)

    def add_policy(self, item: RawObject, resource: Resource) -> None:
        """Take the title, description and remediation of a policy or template."""
        self.policies.on_malformed = lambda _, why: self.fail(
            ReadError(item.location, f"the policy cannot be read: {why}")
        )
        self.policies.sink(resource).upsert(item.raw)

    def add_owner(self, item: RawObject, resource: Resource) -> None:
        """Take a Pod, ReplicaSet or Job."""
        try:
            owner = _owner.decode(item.raw)
            if owner.status is None or owner.status.phase not in _ENDED:
                self.owners.sinks[resource].upsert(item.raw)
            self.owned += 1
        except msgspec.ValidationError:
            for path, message in islice(type_errors(decoded(item.raw), _Owner), 1):
                self.fail(
                    ReadError(
                        item.location.within(path, line=line_of(item, path)), f"{message}: it is treated as deleted"
                    )
                )

    def _shift(self, objects: set[Subject] | None) -> None:
        if self.rollup is not None:
            self.rollup.shift(objects, now=self._steady)
            self.rollup.finish()

    def _source(self, item: RawObject, group: str, resource: str) -> None:
        try:
            reading = self.read(group, resource, item.raw)
        except (Malformed, RecursionError) as error:
            self._diagnose(item, group, str(error))
            return
        key = reading.key
        self.objects[key.source_api] += 1
        self.unlisted += reading.unlisted
        if reading.problems:
            self._diagnose(item, group, ", ".join(sorted(set(reading.problems))))
        for source, newest in reading.newest_by:
            self._superseded.note(group, source, key.namespace, newest)
        if self._keep:
            self.provenance[key] = ReadObject(item.location, bytes(item.raw))
        admitted = admit(reading, filter_=self.target.filter, policies=self.policies, rollup=self.rollup)
        self.left_out.update(violation.source for violation in admitted.filtered_out)
        self.rolled_up.update(violation.subject for violation, _ in admitted.direct if is_rolled_up(violation.subject))
        self.ledger.read(
            key,
            admitted.claims,
            ended=admitted.ended,
            complete=reading.complete,
            passed=frozenset,
            now=self._steady,
            audited=reading.audited,
            boundary=reading.boundary,
            backlog=True,
        )

    def read(self, group: str, resource: str, raw: bytes | msgspec.Raw) -> ParsedReport:
        """Raises Malformed."""
        latest, template = self.now // 1000 + PLAUSIBLE_AHEAD_SECONDS, self.policies.template_severity(resource)
        return reader.read(group, resource, raw, latest=latest, template=template)

    def _diagnose(self, item: RawObject, group: str, otherwise: str) -> None:
        try:
            found = defects(decoded(item.raw), group)
            reported = list(islice(found, _MOST_DEFECTS))
            more = sum(1 for _ in found)
        except (RecursionError, ValueError):  # invalid JSON: the reader reports it
            reported, more = [], 0
        for path, message in reported or [((), otherwise)]:
            self.fail(ReadError(item.location.within(path, line=line_of(item, path)), message))
        if more:
            self.fail(ReadError(item.location, f"and {more} more defects"))

    def finish(self, *, owners: bool) -> None:
        """Everything is read: resolve roll-up targets, superseded reports and policies. `owners`: all Pods, ReplicaSets
        and Jobs are known.
        """
        if owners:
            for sink in self.owners.sinks.values():
                sink.finish()
                sink.state(ReflectorState(phase="watching"))
        else:
            for sink in self.owners.sinks.values():
                sink.forbidden = True  # permanently: there is no cluster that may allow it later
            self.owners.update_live()
        self._superseded.evaluate(all_listed=True)
        self.ledger.supersede(self._superseded.reports, now=self._steady)
        for entry in self.desired() if self.policies.sinks else ():
            self._reread(entry)

    def _reread(self, entry: Entry) -> None:
        """Enrich the finding again: its policies may have been read after the reports that name them."""
        if entry.representative is not None:
            entry.claims = tuple((key, self.enriched(violation)) for key, violation in entry.claims)
            entry.representative = self.enriched(entry.representative)
            entry.digest = digest(entry.representative, default_severity=self.target.filter.default_severity)

    def enriched(self, violation: Violation) -> Violation:
        """Add the policy's title, description and remediation, and the severity by risk."""
        return self.target.filter.rated(self.policies.enrich(violation))

    def without_owner(self) -> Counter[Unresolved]:
        """Reason → violations of Pods, ReplicaSets and Jobs that roll up to nothing."""
        found: Counter[Unresolved] = Counter()
        for of, number in self.rolled_up.items() if self.rollup is not None else ():
            subject = self.owners.resolve(of)
            if isinstance(subject, Unresolved):
                found[subject] += number
        return found

    def at_target(self, violation: Violation) -> Violation | None:
        """The violation, rolled up to its target; None if it has none."""
        if self.rollup is None:
            return violation
        subject = self.owners.resolve(violation.subject)
        return rolled_up(violation, subject) if isinstance(subject, Subject) else None

    def desired(self) -> Iterator[Entry]:
        """The desired findings, in the order in which they were first claimed."""
        return (entry for entry in self.ledger.entries.values() if entry.desired)

    def findings(self) -> Iterator[tuple[Entry, dict[str, Any]]]:
        for entry in self.desired():
            yield entry, self.render(entry)

    def render(self, entry: Entry) -> dict[str, Any]:
        """As the operator renders a finding that Security Hub does not have."""
        if entry.representative is None:
            raise ValueError(f"nobody claims {entry.id}")
        return mapped(entry.representative, entry.observed_at, self.inputs(entry))

    def inputs(self, entry: Entry) -> Inputs:
        return Inputs(self.target.cluster, self.now, entry.source_api, self.target.filter.default_severity)


def mapped(violation: Violation, observed: WallMs | None, inputs: Inputs) -> dict[str, Any]:
    """The violation as a new finding."""
    return asff.render(
        violation,
        cluster=inputs.cluster,
        finding_id=finding_id(inputs.cluster.id, violation.identity),
        digest=digest(violation, default_severity=inputs.default_severity),
        source_api=inputs.source_api,
        created_at=min(observed or inputs.now, inputs.now),
        observed_at=inputs.now,
        updated_at=inputs.now,
        archived=False,
        default_severity=inputs.default_severity,
    )


def _unexpected(source_api: str, message: str) -> None:
    raise AssertionError(f"{source_api}: {message}: the collector should have rejected it")
