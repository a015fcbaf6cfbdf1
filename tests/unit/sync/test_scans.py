"""Whether an engine has scanned again: by its own times, and by witnesses."""

import pytest

from policyhub.clock import SteadyMs
from policyhub.model.violation import SourceKey, Subject
from policyhub.sync.scans import MAX_SOURCES, MAX_WITNESSES, MIN_WITNESSES, ROUNDS, Scans

NOW = SteadyMs(1_790_000_000_000)
KYVERNO = "kyverno"
WEB = Subject("apps", "Deployment", "shop", "web")
WRITTEN = 1_000
"""Unix seconds by the engine's clock."""


def report(namespace: str = "shop", name: str = "r") -> SourceKey:
    return SourceKey("wgpolicyk8s.io", "policyreports", namespace, name)


def read_report(
    made: Scans, at: int, *, namespace: str = "shop", name: str = "r", changed: bool = False, now: SteadyMs = NOW
) -> bool:
    """Read a report. Returns whether a scan may be complete with it."""
    return KYVERNO in made.read(report(namespace, name), [(KYVERNO, at)], changed=changed, now=now)


def rounds(made: Scans, namespace: str, number: int, *, now: SteadyMs = NOW, name: str = "r") -> None:
    """Read a report, then its unchanged rewrites, a minute apart, the first at `now`."""
    read_report(made, WRITTEN, namespace=namespace, name=name, now=now - 60_000)
    for n in range(number):
        read_report(made, WRITTEN + 1 + n, namespace=namespace, name=name, now=now + 60_000 * n)


# -- the very object --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("omitted_at", "newest", "scanned"),
    [
        pytest.param(None, WRITTEN, False, id="lost in silence: the report that was known"),
        pytest.param(None, WRITTEN - 1, False, id="lost in silence: what another API left behind"),
        pytest.param(None, WRITTEN + 1, True, id="lost in silence: a later one"),
        pytest.param(WRITTEN + 50, WRITTEN + 50, False, id="omitted: the report that omitted it"),
        pytest.param(WRITTEN + 50, WRITTEN + 49, False, id="omitted: an older one, although newer than all before"),
        pytest.param(WRITTEN + 50, WRITTEN + 51, True, id="omitted: a later one"),
    ],
)
def test_later_is_by_the_engines_own_time(omitted_at: int | None, newest: int, *, scanned: bool) -> None:
    """A report from before the loss, or with it, proves nothing, whenever it is read."""
    made = Scans()
    read_report(made, WRITTEN)
    made.expect("id", KYVERNO, WEB, omitted_at=omitted_at)
    assert made.reported(KYVERNO, WEB, newest) == (["id"] if scanned else [])


def test_an_engine_that_named_no_time_is_heard_by_the_first() -> None:
    """Where no report of the namespace was read yet, any time is later; a report without a time is not."""
    made = Scans()
    made.expect("id", KYVERNO, WEB)
    assert made.reported(KYVERNO, WEB, 0) == []
    assert made.reported(KYVERNO, WEB, 1) == ["id"]


def test_old_reports_do_not_turn_the_time_back() -> None:
    """The newest time counts, in whatever order reports are read."""
    made = Scans()
    read_report(made, WRITTEN)
    read_report(made, WRITTEN - 500, name="older")
    made.expect("id", KYVERNO, WEB)
    assert made.reported(KYVERNO, WEB, WRITTEN - 100) == []


def test_times_are_of_one_namespace() -> None:
    """A time in the year 3000 in one namespace does not affect findings of others."""
    made = Scans()
    read_report(made, 2**40, namespace="tenant")
    read_report(made, WRITTEN)
    made.expect("id", KYVERNO, WEB)
    assert made.reported(KYVERNO, WEB, WRITTEN + 1) == ["id"]


@pytest.mark.parametrize(
    ("source", "of"),
    [("trivy", WEB), (KYVERNO, Subject("apps", "Deployment", "shop", "other"))],
    ids=["another engine", "another object"],
)
def test_others_are_not_heard(source: str, of: Subject) -> None:
    """A report confirms findings about its own objects only."""
    made = Scans()
    made.expect("id", KYVERNO, WEB)
    assert made.reported(source, of, WRITTEN) == []


def test_what_is_forgotten_waits_no_more() -> None:
    """Each finding by itself; a finding that is expected again waits again."""
    made = Scans()
    made.expect("one", KYVERNO, WEB, omitted_at=WRITTEN)
    made.expect("two", KYVERNO, WEB, omitted_at=WRITTEN)
    made.expect("two", KYVERNO, WEB, omitted_at=WRITTEN + 10)
    assert made.reported(KYVERNO, WEB, WRITTEN + 5) == ["one"]
    made.forget("one")
    made.forget("one")
    assert made.reported(KYVERNO, WEB, WRITTEN + 11) == ["two"]
    assert made.expects
    made.forget("two")
    assert not made.expects


def test_sources_are_bounded() -> None:
    """For the 21st source of a namespace nothing is ever confirmed; sources that are known stay known."""
    made = Scans()
    names = [f"s{n}" for n in range(MAX_SOURCES + 1)]
    for name in names:
        for at in range(ROUNDS + 1):
            for key in (report(), report(name="r2")):
                made.read(key, [(name, WRITTEN + at)], changed=False, now=NOW + at)
    for name in names:
        made.expect(name, name, WEB)
    assert [name for name in names if made.reported(name, WEB, 2**40)] == names[:-1]
    assert [name for name in names if made.has_scanned(name, "shop", since=NOW)] == names[:-1]


def test_what_is_lost_again_by_another_engine_waits_for_that_one() -> None:
    """A finding waits in one place."""
    made = Scans()
    made.expect("id", "trivy", WEB)
    made.expect("id", KYVERNO, WEB)
    assert made.reported("trivy", WEB, WRITTEN) == []
    made.forget("id")
    assert not made.expects


# -- witnesses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "expected"), [(ROUNDS - 1, False), (ROUNDS, True), (ROUNDS + 1, True)], ids=["two", "three", "four"]
)
def test_a_scan_has_gone_round_after_three_rewrites(number: int, *, expected: bool) -> None:
    """Rewrites without a change; the first reading is none."""
    made = Scans()
    rounds(made, "shop", number)
    rounds(made, "shop", ROUNDS, name="r2")
    assert made.has_scanned(KYVERNO, "shop", since=NOW - 1) == expected


def test_rewrites_before_the_loss_do_not_count() -> None:
    """The third from the end must be after it; a rewrite at that very moment may be older."""
    made = Scans()
    rounds(made, "shop", ROUNDS, name="r2", now=NOW + 1)
    rounds(made, "shop", ROUNDS)
    assert not made.has_scanned(KYVERNO, "shop", since=NOW)
    read_report(made, WRITTEN + 10, now=NOW + 600_000)
    assert made.has_scanned(KYVERNO, "shop", since=NOW)


@pytest.mark.parametrize(
    ("at", "changed", "name"),
    [
        pytest.param(WRITTEN + 10, True, "r", id="it says something else: an event's doing"),
        pytest.param(WRITTEN + ROUNDS - 1, False, "r", id="it names no later time: the operator read it again"),
        pytest.param(WRITTEN + 10, False, "r2", id="the other report"),
    ],
)
def test_what_is_no_rewrite(at: int, *, changed: bool, name: str) -> None:
    """Only the one witness, unchanged, of a later time."""
    made = Scans()
    rounds(made, "shop", ROUNDS - 1)
    rounds(made, "shop", ROUNDS - 1, name="r2")
    read_report(made, WRITTEN + 9, name="r2")
    read_report(made, at, changed=changed, name=name)
    assert not made.has_scanned(KYVERNO, "shop", since=NOW - 1)


def test_a_change_is_no_rewrite_and_its_time_is_remembered() -> None:
    """A report that changed and is then read again by the same time has not been written again."""
    made = Scans()
    rounds(made, "shop", ROUNDS - 1)
    read_report(made, WRITTEN + 10, changed=True)
    assert not read_report(made, WRITTEN + 10)
    assert read_report(made, WRITTEN + 11)


def test_it_is_told_when_a_round_is_full() -> None:
    """So that waiting findings are decided again then, not at every report."""
    made = Scans()
    read_report(made, WRITTEN)
    assert [read_report(made, WRITTEN + n) for n in range(1, ROUNDS + 2)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("gone", "not_gone", "expected"),
    [
        pytest.param(0, 0, False, id="none"),
        pytest.param(MIN_WITNESSES - 1, 0, False, id="one alone: its object may change all the time"),
        pytest.param(MIN_WITNESSES, 0, True, id="two"),
        pytest.param(MIN_WITNESSES, 1, False, id="two, and one that was not written again"),
        pytest.param(MAX_WITNESSES, 0, True, id="five"),
        pytest.param(MAX_WITNESSES, 1, True, id="five; a sixth is no witness"),
        pytest.param(MAX_WITNESSES - 1, 1, False, id="four, and one that was not written again"),
    ],
)
def test_every_witness_must_have_gone_round(gone: int, not_gone: int, *, expected: bool) -> None:
    """At least two, at most five."""
    made = Scans()
    for n in range(gone):
        rounds(made, "shop", ROUNDS, name=f"gone{n}")
    for n in range(not_gone):
        read_report(made, WRITTEN, name=f"not{n}")
    assert made.has_scanned(KYVERNO, "shop", since=NOW - 1) == expected
    assert not made.has_scanned("trivy", "shop", since=NOW - 1)


def test_a_witness_that_is_gone_is_replaced() -> None:
    """A new witness starts without rewrites; the deletion of other reports changes nothing."""
    made = Scans()
    for name in ("r", "r2"):
        rounds(made, "shop", ROUNDS, name=name)
    made.drop(report("shop", "r3"))
    made.drop(report("bank", "r"))
    assert made.has_scanned(KYVERNO, "shop", since=NOW - 1)
    made.drop(report("shop", "r"))
    assert not made.has_scanned(KYVERNO, "shop", since=NOW - 1)
    rounds(made, "shop", ROUNDS - 1)
    assert not made.has_scanned(KYVERNO, "shop", since=NOW - 1)
    made.drop(report("shop", "r"))
    rounds(made, "shop", ROUNDS, name="r3")
    assert made.has_scanned(KYVERNO, "shop", since=NOW - 1)


def test_a_report_may_go_twice() -> None:
    """Of a namespace without witnesses too."""
    made = Scans()
    read_report(made, WRITTEN)
    for _ in range(2):
        made.drop(report())
    for name in ("r", "r2"):
        rounds(made, "shop", ROUNDS, name=name)
    assert made.has_scanned(KYVERNO, "shop", since=NOW - 1)


@pytest.mark.parametrize("namespaces", [1, 10])
def test_no_tenant_decides_for_another_namespace(namespaces: int) -> None:
    """Reports of other namespaces prove nothing, however many, for or against."""
    made = Scans()
    for n in range(namespaces):
        for name in ("r", "r2"):
            rounds(made, f"tenant{n}", ROUNDS, name=name)
    assert made.has_scanned(KYVERNO, "tenant0", since=NOW - 1)
    assert not made.has_scanned(KYVERNO, "shop", since=NOW - 1)
    for name in ("r", "r2"):
        rounds(made, "shop", ROUNDS, name=name)
        read_report(made, WRITTEN, namespace="tenant0", name=f"another-{name}")
    assert made.has_scanned(KYVERNO, "shop", since=NOW - 1)
