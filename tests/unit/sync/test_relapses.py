"""A finding that comes back counts how often; the count lives in Security Hub and survives a restart."""

from typing import Any

import msgspec
import pytest

from policyhub.clock import SteadyMs, WallMs
from policyhub.findings import asff
from policyhub.securityhub.inventory import from_asff, strip_for_import
from policyhub.sync.cluster_queue import ClusterQueue
from policyhub.sync.entry import Entry
from policyhub.sync.ledger import Ledger
from policyhub.sync.lookups import observation_of
from policyhub.sync.plan import DAY_MS, Change
from policyhub.sync.shipment import Shipment, ship
from tests.component.sync.test_engine import CLUSTER
from tests.unit.sync.test_evidence import LIVE, NOW, REPORT, RULES, WALL, act, entry_of, ledger, report, violation

REPORTED = violation("web")


def send(made: Ledger, change: Change, *, days: int, answered: bool = True) -> Shipment:
    entry = entry_of(made, REPORTED)
    queue = ClusterQueue(name="alpha", ledger=made, cluster=CLUSTER, rules=RULES, sends=True)
    shipment = ship(queue, entry, change, now=WallMs(int(WALL) + days * DAY_MS))
    made.mark_in_flight(entry)
    if answered:
        made.acknowledge(entry, shipment.observed, now=SteadyMs(int(NOW) + days * DAY_MS))
    else:
        made.release(entry)
    return shipment


def end(made: Ledger) -> None:
    made.read(REPORT, [], complete=True, passed=lambda: frozenset({REPORTED.identity}), now=NOW)


def came_back(times: int) -> tuple[Ledger, dict[str, Any]]:
    """A ledger whose one finding came back so often, and its finding."""
    made = ledger()
    report(made, REPORT, REPORTED)
    body = send(made, Change.NEW, days=0).body
    for number in range(times):
        end(made)
        send(made, Change.ARCHIVED, days=2 * number + 1)
        report(made, REPORT, REPORTED)
        body = send(made, Change.REACTIVATED, days=2 * number + 2).body
    return made, body


def counted(body: dict[str, Any]) -> tuple[str | None, str | None]:
    fields = body["ProductFields"]
    return fields.get(asff.RELAPSES), fields.get(asff.RELAPSED_AT)


@pytest.mark.parametrize("times", [0, 1, 3])
def test_each_return_is_counted(times: int) -> None:
    """When it was first seen never moves."""
    _, body = came_back(times)
    when = asff.timestamp(WallMs(int(WALL) + 2 * times * DAY_MS))
    assert counted(body) == ((str(times), when) if times else (None, None))
    assert body["CreatedAt"] == asff.timestamp(WALL)


def test_a_change_of_words_and_an_end_keep_the_count() -> None:
    """Only a return is one."""
    made, body = came_back(2)
    report(made, REPORT, msgspec.structs.replace(REPORTED, message="other words"))
    assert counted(send(made, Change.CHANGED, days=9).body) == counted(body)
    end(made)
    assert counted(send(made, Change.ARCHIVED, days=10).body) == counted(body)


def test_an_import_that_got_no_answer_counts_once() -> None:
    """Sent again it is the very same body, so that Security Hub ignores it if it was taken."""
    made, _ = came_back(1)
    end(made)
    send(made, Change.ARCHIVED, days=5)
    report(made, REPORT, REPORTED)
    lost = send(made, Change.REACTIVATED, days=6, answered=False)
    entry_of(made, REPORTED).unanswered = lost.observed
    again = send(made, Change.REACTIVATED, days=7)
    assert again.body == lost.body
    assert counted(again.body)[0] == "2"


def restarted(body: dict[str, Any]) -> tuple[Ledger, Entry]:
    """What a new process knows once it has read Security Hub and the report."""
    made = Ledger(cluster_id="alpha", cluster_uid="uid-1", default_severity="MEDIUM", on_dirty=lambda: None)
    made.observed.take_part("", [observation_of(from_asff(body))], now=NOW - DAY_MS)
    made.finish_inventory()
    made.sources.set_reports_listed(listed=True)
    made.sources.set_listing_state(REPORT.source_api, LIVE)
    report(made, REPORT, REPORTED)
    return made, entry_of(made, REPORTED)


def test_a_restart_goes_on_counting_and_sends_nothing() -> None:
    """The inventory brings the count; it is no part of what is compared."""
    _, body = came_back(2)
    made, entry = restarted(body)
    assert act(made, entry, now=NOW) is None
    end(made)
    send(made, Change.ARCHIVED, days=11)
    report(made, REPORT, REPORTED)
    assert counted(send(made, Change.REACTIVATED, days=12).body)[0] == "3"


def test_what_is_archived_as_it_was_read_keeps_the_count() -> None:
    """Of a finding that this process has never rendered."""
    _, body = came_back(2)
    made, entry = restarted(body)
    entry.representative, entry.body = None, strip_for_import(body)
    shipment = send(made, Change.ARCHIVED, days=11)
    assert counted(shipment.body) == counted(body)
    assert shipment.observed.relapses == 2


@pytest.mark.parametrize("written", ["", "-1", "many", "٣", "9" * 20, None, 7])
def test_a_count_that_is_none_is_none(written: object) -> None:
    """Whoever may import into the account may write it."""
    _, body = came_back(0)
    body["ProductFields"][asff.RELAPSES] = written
    assert from_asff(body).relapses == 0
