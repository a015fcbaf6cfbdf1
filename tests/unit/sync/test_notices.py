"""Notices of lists that are not whole: sent once, steady, and archived on positive evidence only."""

import json
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from policyhub.clock import SteadyMs, WallMs
from policyhub.cluster.sinks.reports import ReportSink
from policyhub.findings.asff import Cluster, render
from policyhub.findings.identity import finding_id
from policyhub.metrics.definitions import Metrics
from policyhub.model.violation import Subject
from policyhub.securityhub.inventory import from_asff
from policyhub.sources import reader
from policyhub.sources.filter import Filter
from policyhub.sources.truncation import Truncation, counts
from policyhub.sync.entry import Entry, ListingState, ObservedFinding
from policyhub.sync.holds import Hold
from policyhub.sync.ledger import Ledger
from policyhub.sync.lookups import observation_of
from policyhub.sync.plan import DAY_MS, Change, Decision, Rules, Wait

START = SteadyMs(1_790_000_000_000)
DELAY = 600_000
RULES = Rules(archive_delay_ms=DELAY)
GATEKEEPER, REPORTS = ("constraints.gatekeeper.sh", "k8slimits"), ("wgpolicyk8s.io", "policyreports")
CLUSTER = Cluster(
    id="alpha", name="alpha", arn=None, uid="u", account="1" * 12, region="r", partition="aws", product_arn="arn"
)
EITHER = pytest.mark.parametrize("of", [GATEKEEPER, REPORTS], ids=["constraint", "report"])

NOTICES = {
    finding_id("alpha", truncation.identity)
    for truncation in (
        Truncation(
            Subject("constraints.gatekeeper.sh", "K8sLimits", "", "limits"),
            source="gatekeeper",
            policy="K8sLimits",
            rule="limits",
        ),
        Truncation(Subject("wgpolicyk8s.io", "PolicyReport", "s", "limits"), source="kyverno"),
    )
}

Stored = dict[str, dict[str, Any]]
"""What Security Hub has, by id."""


class World:
    """One process: its views read, and Security Hub has what an earlier one has left in `stored`."""

    def __init__(self, stored: Stored | None = None, *, filter_: Filter | None = None, later_ms: int = 0) -> None:
        self.now = START + later_ms
        self.stored = {} if stored is None else stored
        self.ledger = Ledger(cluster_id="alpha", cluster_uid="u", default_severity="MEDIUM", on_dirty=lambda: None)
        self.sinks = {of: self._sink(of, filter_ or Filter()) for of in (GATEKEEPER, REPORTS)}
        self.ledger.sources.set_reports_listed(listed=True)
        for sink in self.sinks.values():
            sink.begin()

    def _sink(self, of: tuple[str, str], filter_: Filter) -> ReportSink:
        group, resource = of
        return ReportSink(
            cluster="alpha",
            group=group,
            resource=resource,
            ledger=self.ledger,
            filter_=filter_,
            metrics=Metrics(CollectorRegistry()),
            now=lambda: self.now,
            wall_clock=lambda: WallMs(int(self.now)),
        )

    def started(self) -> "World":
        """What there is has been listed, and Security Hub read."""
        for sink in self.sinks.values():
            sink.finish()
            self.ledger.sources.set_listing_state(sink.source_api, ListingState(live=True, since=START))
        found = [observation_of(from_asff(finding)) for finding in self.stored.values()]
        self.ledger.observed.take_part("", found, now=self.now)
        self.ledger.finish_inventory()
        self.confirm()
        return self

    def confirm(self) -> None:
        for sink in self.sinks.values():
            self.ledger.sources.confirmed[sink.source_api] = START + 100 * DAY_MS
        self.ledger.sources.discovered = START + 100 * DAY_MS

    def report(self, of: tuple[str, str], *listed: str, total: int, at: int = 0, **more: Any) -> None:
        """What a constraint or report now lists, of how many."""
        self.sinks[of].upsert(json.dumps(document(of, *listed, total=total, at=at) | more).encode())

    def gone(self, of: tuple[str, str]) -> None:
        self.sinks[of].delete(json.dumps(document(of, total=0)).encode())

    @property
    def notice(self) -> Entry:
        (found,) = NOTICES & self.ledger.entries.keys()
        return self.ledger.entries[found]

    def decide(self) -> Decision:
        entry = self.notice
        decision = self.ledger.decide(entry, rules=RULES, now=self.now, wall_clock=WallMs(int(self.now)))[0]
        if isinstance(decision, Wait):  # the guard counts what is lost
            self.ledger.mark_decided(entry, decision, lost=True)
            decision = self.ledger.decide(entry, rules=RULES, now=self.now, wall_clock=WallMs(int(self.now)))[0]
        if not isinstance(decision, Change):
            self.ledger.mark_decided(entry, decision, lost=True)
        return decision

    def send(self) -> list[tuple[str, Change]]:
        """Send what is to be sent; which objects' findings, and why."""
        done = []
        for entry in list(self.ledger.entries.values()):
            if entry.id in self.ledger.agenda.dirty:
                decision, _ = self.ledger.decide(entry, rules=RULES, now=self.now, wall_clock=WallMs(int(self.now)))
                if isinstance(decision, Change):
                    done.append((entry.subject.name if entry.subject is not None else "", decision))
                    self._import(entry, archived=decision is Change.ARCHIVED)
                else:
                    self.ledger.mark_decided(entry, decision)
        return done

    def _import(self, entry: Entry, *, archived: bool) -> None:
        wall_clock, representative = WallMs(int(self.now)), entry.representative
        if representative is not None:
            self.stored[entry.id] = render(
                representative,
                cluster=CLUSTER,
                finding_id=entry.id,
                digest=entry.digest,
                source_api=entry.source_api,
                created_at=wall_clock,
                observed_at=wall_clock,
                updated_at=wall_clock,
                archived=archived,
            )
        self.ledger.mark_in_flight(entry)
        self.ledger.acknowledge(
            entry, ObservedFinding(entry.digest, wall_clock, wall_clock, archived=archived), now=self.now
        )


def document(of: tuple[str, str], *listed: str, total: int, at: int = 0) -> dict[str, Any]:
    if of == GATEKEEPER:
        entries = [{"group": "apps", "version": "v1", "kind": "D", "namespace": "s", "name": name} for name in listed]
        stamp = f"2026-09-21T{14 + at // 60:02}:{at % 60:02}:00Z"
        status = {"auditTimestamp": stamp, "totalViolations": total, "violations": entries}
        return {"kind": "K8sLimits", "metadata": {"name": "limits"}, "status": status}
    results = [
        {
            "source": "kyverno",
            "policy": "p",
            "rule": "r",
            "result": "fail",
            "resources": [{"apiVersion": "apps/v1", "kind": "D", "name": name}],
        }
        for name in listed
    ]
    return {"metadata": {"name": "limits", "namespace": "s"}, "results": results, "summary": {"fail": total}}


def cut(of: tuple[str, str]) -> World:
    """One that lists two of five, and Security Hub has been told."""
    world = World().started()
    world.report(of, "a", "b", total=5)
    assert dict(world.send())["limits"] is Change.NEW
    return world


@EITHER
def test_one_finding_for_each_list(of: tuple[str, str]) -> None:
    """Beside those of what is listed."""
    world = World().started()
    world.report(of, "a", "b", total=5)
    assert sorted(world.send()) == [("a", Change.NEW), ("b", Change.NEW), ("limits", Change.NEW)]
    world.report(of, "a", "b", total=5, at=1)
    assert world.send() == []


@EITHER
def test_another_number_alone_sends_nothing(of: tuple[str, str]) -> None:
    """Until it has doubled, or halved."""
    world = cut(of)
    for total in (6, 9, 4, 3, 5):
        world.report(of, "a", "b", total=total, at=total)
        assert world.send() == []
    world.report(of, "a", "b", total=10, at=10)
    assert world.send() == [("limits", Change.CHANGED)]
    assert counts_stored(world) == ("2", "10")
    world.report(of, "a", "b", total=6, at=11)
    assert world.send() == []
    world.report(of, "a", "b", total=5, at=12)
    assert world.send() == [("limits", Change.CHANGED)]


def counts_stored(world: World) -> tuple[str, str]:
    fields = world.stored[world.notice.id]["ProductFields"]
    return fields["policyhub/property/listed"], fields["policyhub/property/total"]


@EITHER
def test_what_is_sent_for_another_reason_tells_the_numbers_of_now(of: tuple[str, str]) -> None:
    """And what was told then is what the next ones are compared with."""
    world = cut(of)
    world.report(of, "a", "b", total=8, at=1)
    assert world.send() == []
    known = world.notice.observed
    assert known is not None
    world.ledger.observed.set_observed(world.notice, msgspec.structs.replace(known, renderer="0"))
    world.ledger._enqueue(world.notice)
    assert world.send() == [("limits", Change.REFRESHED)]
    assert counts_stored(world) == ("2", "8")
    world.report(of, "a", "b", total=11, at=2)
    assert world.send() == []
    world.report(of, "a", "b", total=16, at=3)
    assert world.send() == [("limits", Change.CHANGED)]


@EITHER
@pytest.mark.parametrize(("total", "sent"), [(5, []), (9, []), (10, [("limits", Change.CHANGED)])])
def test_a_restart_compares_with_what_was_told(of: tuple[str, str], total: int, sent: list[tuple[str, Change]]) -> None:
    """It is read back with the finding: nothing is sent but what would have been without the restart."""
    world = World(cut(of).stored, later_ms=3_600_000)
    world.report(of, "a", "b", total=total, at=60)
    world.started()
    assert world.send() == sent


def test_content_that_was_refused_is_not_tried_again_for_another_number() -> None:
    """Each audit counts otherwise."""
    world = World().started()
    world.report(GATEKEEPER, "a", total=5)
    world.ledger.mark_in_flight(world.notice)
    world.ledger.reject(world.notice, world.notice.digest)
    world.report(GATEKEEPER, "a", total=6, at=1)
    assert world.decide() is Hold.REJECTED


def test_a_report_that_is_whole_again_ends_it() -> None:
    """At once: that is positive evidence."""
    world = cut(REPORTS)
    world.report(REPORTS, "a", total=1)
    assert ("limits", Change.ARCHIVED) in world.send()
    world.report(REPORTS, "a", total=3)
    assert ("limits", Change.REACTIVATED) in world.send()


def test_audits_that_list_all_end_it() -> None:
    """Two of them, and the delay: the first after Gatekeeper's start may find nothing, of a template that is not
    compiled yet.
    """
    world = cut(GATEKEEPER)
    world.report(GATEKEEPER, total=0, at=1)
    world.now = world.now + DELAY
    assert world.decide() is Hold.AUDIT
    world.report(GATEKEEPER, "a", "b", total=5, at=2)
    assert world.decide() is None
    world.report(GATEKEEPER, "a", total=1, at=3)
    world.report(GATEKEEPER, "a", total=1, at=4)
    assert world.decide() == Wait(world.now + DELAY)
    world.now = world.now + DELAY
    assert world.decide() is Change.ARCHIVED


@EITHER
def test_a_list_that_is_whole_after_a_start_ends_it(of: tuple[str, str]) -> None:
    """Whoever reported it has gone; the list speaks for itself when it is read next."""
    world = World(cut(of).stored, later_ms=3_600_000)
    world.report(of, "a", "b", total=2, at=60)
    world.started()
    for at in (61, 62):
        world.report(of, "a", "b", total=2, at=at)
    assert world.notice.representative is None
    world.now = world.now + DELAY
    assert world.decide() is Change.ARCHIVED


@pytest.mark.parametrize("archived", [False, True])
def test_no_other_report_is_read_twice_for_it(monkeypatch: pytest.MonkeyPatch, *, archived: bool) -> None:
    """A reading costs as much as it did before anybody had a cut list; and what is archived needs no end."""
    stored = cut(REPORTS).stored
    for finding in stored.values():
        finding["RecordState"] = "ARCHIVED" if archived else "ACTIVE"
    world = World(stored, later_ms=3_600_000).started()
    again: list[bytes] = []
    monkeypatch.setattr(reader, "completed_notice", lambda group, resource, raw: again.append(raw))
    world.report(REPORTS, "x", total=1, metadata={"name": "other", "namespace": "s"})
    world.report(REPORTS, "x", total=1, metadata={"name": "limits", "namespace": "t"})
    assert again == []
    world.report(REPORTS, "a", "b", total=2)
    assert len(again) == (0 if archived else 1)


@pytest.mark.parametrize("then", ["cut", "whole", "empty"])
def test_whoever_a_report_names_it_has_one_list(then: str) -> None:
    """Its results may name one engine, then another, or none: the notice of before is over, at once."""
    world = cut(REPORTS)
    before = world.notice.id
    other = [{"source": "scanner", "policy": "p", "rule": "r", "result": "fail"}]
    summary = {"fail": 7 if then == "cut" else len(other)}
    content: dict[str, Any] = (
        {"results": other, "summary": summary} if then != "empty" else {"results": [], "summary": {}}
    )
    world.report(REPORTS, total=0, **content)
    world.send()
    assert world.stored[before]["RecordState"] == "ARCHIVED"
    notices = [f for f in world.stored.values() if f["ProductFields"]["policyhub/result"] == "truncated"]
    assert [finding["RecordState"] for finding in notices] == ["ARCHIVED", "ACTIVE"][: 2 if then == "cut" else 1]


@EITHER
def test_what_says_nothing_ends_nothing(of: tuple[str, str]) -> None:
    """An object that cannot be read whole, a view that is not live, an audit that has not been."""
    world = cut(of)
    world.sinks[of].live(live=False)
    if of == GATEKEEPER:
        status = {"totalViolations": 2, "violations": document(of, "a", "b", total=2)["status"]["violations"]}
        world.report(of, total=0, status=status)
        world.report(of, total=0, status={})
    else:
        world.report(of, "a", total=1, results=[7])
        world.report(of, "a", total=1, configuration={"limits": {"maxResults": 1}})
    world.now = START + 10 * DAY_MS
    assert world.notice.desired
    assert world.send() == []


def test_a_list_that_is_whole_is_believed_when_its_api_is_seen() -> None:
    """Another cluster may answer at the old address."""
    world = cut(REPORTS)
    world.ledger.sources.confirmed.clear()
    world.ledger.sources.stream_started_at[world.sinks[REPORTS].source_api] = START
    world.report(REPORTS, "a", total=1)
    assert world.decide() is Hold.UNCONFIRMED
    world.confirm()
    assert world.decide() is Change.ARCHIVED


@EITHER
def test_an_object_that_is_gone_ends_it_after_the_delay(of: tuple[str, str]) -> None:
    """It may be written anew."""
    world = cut(of)
    world.gone(of)
    assert world.decide() == Wait(START + DELAY)
    world.now = START + DELAY
    assert world.decide() is Change.ARCHIVED


@EITHER
def test_an_object_that_went_while_nobody_looked(of: tuple[str, str]) -> None:
    """Its API was listed whole and lacks it: with what cannot be read, that is no evidence."""
    stored = cut(of).stored
    world = World(stored, later_ms=3_600_000).started()
    world.now = world.now + DELAY
    assert world.decide() is Change.ARCHIVED
    unreadable = World(stored, later_ms=3_600_000)
    unreadable.sinks[of].upsert(json.dumps({"kind": 7, "metadata": {"name": "", "namespace": "s"}}).encode())
    unreadable.started()
    unreadable.now = world.now + DELAY
    assert unreadable.decide() is Hold.UNLISTED


def test_another_report_that_is_not_whole_does_not_keep_it() -> None:
    """What the one lacks, the other could not have told."""
    world = World(cut(REPORTS).stored, later_ms=3_600_000)
    world.report(REPORTS, "x", total=4, metadata={"name": "other", "namespace": "s"})
    world.started()
    world.now = world.now + DELAY
    assert world.decide() is Change.ARCHIVED


@EITHER
def test_the_switch_ends_it(of: tuple[str, str]) -> None:
    """Of a list that is cut still: once it has been read with the switch off."""
    stored = cut(of).stored
    off = Filter(truncated_lists=False)
    fresh = World(filter_=off).started()
    fresh.report(of, "a", "b", total=5)
    assert sorted(fresh.send()) == [("a", Change.NEW), ("b", Change.NEW)]
    world = World(stored, filter_=off, later_ms=3_600_000)
    world.report(of, "a", "b", total=5, at=60)
    world.started()
    world.report(of, "a", "b", total=5, at=61)
    assert world.decide() is Change.ARCHIVED


def test_a_restart_while_it_cannot_be_told_keeps_it() -> None:
    """A constraint that is there and was not audited since says nothing of its list."""
    world = World(cut(GATEKEEPER).stored, later_ms=3_600_000)
    world.report(GATEKEEPER, total=0, status={})
    world.started()
    world.now = world.now + 10 * DAY_MS
    assert world.decide() is Hold.UNLISTED


def test_what_the_policy_says_of_itself_is_not_said_of_its_list() -> None:
    """Neither its severity nor its remediation."""
    world = World().started()
    annotations = {"policyhub.dev/severity": "critical", "policyhub.dev/remediation": "Set limits."}
    world.report(GATEKEEPER, "a", total=5, metadata={"name": "limits", "annotations": annotations})
    representative = world.notice.representative
    assert representative is not None
    assert representative.severity == "INFORMATIONAL"
    assert counts(representative) == (1, 5)
    world.send()
    assert "Set limits." not in json.dumps(world.stored[world.notice.id])
