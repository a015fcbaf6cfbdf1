"""Replacements for functions and methods of the operator, without a fix: the patches of `mutations`. Each replaces one
callable and takes its arguments; the original callable is the default of a parameter.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from policyhub.clock import SteadyMs
from policyhub.cluster import inventory, sources
from policyhub.cluster.report_apis import ReportApis, report_apis
from policyhub.kube.isolating_sink import IsolatingSink
from policyhub.model.violation import SourceKey, Subject
from policyhub.securityhub.errors import Failure
from policyhub.sources.results import ResultReader
from policyhub.sync import grading, owner_reference
from policyhub.sync.delivery import Delivery
from policyhub.sync.desired import Desired
from policyhub.sync.entry import Entry, Loss, ObservedFinding
from policyhub.sync.evidence import Sources
from policyhub.sync.existence import Answer, Presence
from policyhub.sync.guard import Guard, threshold_reason
from policyhub.sync.in_flight import InFlight
from policyhub.sync.intake import Intake
from policyhub.sync.observed import Observed
from policyhub.sync.plan import Evidence
from policyhub.sync.read_progress import ReadProgress
from policyhub.sync.rollup import Rollup
from policyhub.sync.scans import Scans
from policyhub.sync.shipment import Shipment
from policyhub.sync.superseded import Superseded


def always(value: object) -> Callable[..., Any]:
    return lambda *_args, **_more: value


def equal(one: object, other: object) -> bool:
    return one == other


def not_lost(*args: Any, of_report: Callable[..., Evidence] = grading._report_evidence, **more: Any) -> Evidence:
    return msgspec.structs.replace(of_report(*args, **more), lost=False)


def forget_superseded(self: sources.Sources, disconnect: Callable[..., None] = sources.Sources.disconnect) -> None:
    disconnect(self)
    self.superseded = Superseded()
    self._ledger.supersede(frozenset(), now=self._site.now())


def all_listed(*args: Any, **more: Any) -> ReportApis:
    return msgspec.structs.replace(report_apis(*args, **more), all_listed=True)


def policy_present(entry: Entry, *, sources: Sources, since: SteadyMs) -> Answer:
    return Answer(Presence.PRESENT, since)


def note_anywhere(self: Superseded, *args: Any, note: Callable[..., None] = Superseded.note) -> None:
    group, engine, _, at = args
    note(self, group, engine, "", at)


def claim(self: Desired, id_: str, *args: Any, claimed: Callable[..., bool] = Desired.add_claim, **more: Any) -> bool:
    changed = claimed(self, id_, *args, **more)
    self._entries[id_].own = bool(self._entries[id_].own)
    return changed


def current_anywhere(self: Desired, source: str, key: SourceKey) -> bool:
    return (source, key.group, "") not in self.superseded


def supersede_anywhere(self: Desired, superseded: frozenset[tuple[str, str, str]], *, now: SteadyMs) -> None:
    self.superseded = superseded
    for entry in [entry for entry in self._entries.values() if entry.claims]:
        self._recompute(entry, loss=Loss.SILENT, now=now)


def unreadable_anywhere(self: Sources, entry: Entry) -> bool:
    return bool(self.unreadable.get(entry.source_api)) or any(
        source_api == entry.source_api for source_api, _ in self._incomplete_in
    )


def threshold_anywhere(self: Guard, scope: tuple[str, str], wide: dict[str, str] | None = None) -> str:
    return threshold_reason(self.lost(scope[0]), self.active(scope[0]))


def subject_anywhere(
    self: ResultReader, ref: Any, problems: list[str], subject: Callable[..., Any] = ResultReader._subject
) -> Any:
    """Accepts subjects of other namespaces than the report's."""
    own = self._namespace
    self._namespace = (own and ref.namespace) or own
    try:
        return subject(self, ref, problems)
    finally:
        self._namespace = own


def expects_anywhere(self: Scans, _: SourceKey) -> bool:
    """Reads a rewritten report whenever anything waits for a report."""
    return self.expects


def revision(annotations: dict[str, str]) -> int:
    return int(next((annotations[key] for key in owner_reference._REVISIONS if key in annotations), "0"))


def deliver(self: IsolatingSink, raw: msgspec.Raw, method: Callable[[msgspec.Raw], None]) -> None:
    method(raw)


def mark_passed_keeping_api(
    self: Intake, ids: Any, *, key: SourceKey, times: Any, clear: Callable[..., None] = Intake._mark_passed
) -> None:
    before = {id_: self._entries[id_].source_api for id_ in ids if id_ in self._entries}
    clear(self, before, key=key, times=times)
    for id_, source_api in before.items():
        self._entries[id_].source_api = source_api


def reported_keeping_api(
    self: Sources, key: SourceKey, reported: Callable[..., list[str]] = Sources.reported, **more: Any
) -> list[str]:
    before = {id_: entry.source_api for id_, entry in self._entries.items()}
    reported_ids = reported(self, key, **more)
    for id_ in reported_ids:
        self._entries[id_].source_api = before[id_]
    return reported_ids


def complete_from_start(self: ReadProgress, init: Callable[..., None] = ReadProgress.__init__, **more: Any) -> None:
    init(self, **more)
    self.complete = True


def unreported_by_engine(
    self: Rollup, source: str, policy: str, of: Subject, unreported: Callable[..., bool] = Rollup.unreported
) -> bool:
    return unreported(self, source, "", of)


def mark_missed(self: Observed, entry: Entry, missed: Callable[..., None] = Observed._mark_missed, **more: Any) -> None:
    before = entry.observed
    missed(self, entry, **more)
    if not entry.desired and entry.observed is not None:
        entry.observed = before


async def holds(self: inventory.InventoryReader) -> bool:
    return True


def rule_of(source: str, rule: str, subject: Subject) -> str:
    return rule.removeprefix("autogen-").removeprefix("cronjob-")


def take_part_as_read(
    self: Observed,
    digits: str,
    findings: Any,
    *,
    now: SteadyMs,
    began: SteadyMs | None = None,
    take_part: Callable[..., None] = Observed.take_part,
) -> None:
    take_part(self, digits, findings, now=now)


def skip_inventory(
    self: ReadProgress,
    *,
    recheck_backlog: bool = False,
    skip_inventory: Callable[..., None] = ReadProgress.skip_inventory,
) -> None:
    skip_inventory(self)


def maybe_written(
    self: Delivery, s: Shipment, failure: Failure, *, reject: Callable[..., None] = Delivery.reject, **more: float
) -> None:
    reject(self, s, failure, **more)
    s.queue.ledger.observed.mark_unanswered(s.entry, s.observed)


def not_written(self: InFlight, entry: Entry, known: ObservedFinding) -> None:
    self.release(entry)
