"""One operator with a long archive delay: rewrites, fixes, relapses and unusual objects of engines, and triage of
analysts.
"""

from collections.abc import Iterator

import pytest

from tests.integration.operator.world import World, constraint, outcomes, report, result


@pytest.fixture(scope="module")
def live(home: World) -> Iterator[World]:
    """A running operator. Every test has its own policies, so that none sees another's findings."""
    home.clear()
    home.monitor(archiveDelay="3s")
    home.start()
    home.synced()
    yield home
    home.clear()


def seen(world: World, change: str) -> float:
    return world.operator.metric("policyhub_watch_events_total", cluster="alpha", change=change)


def test_rewrites_cost_nothing(live: World) -> None:
    """Reports rewritten with new timestamps, and constraints with a new audit time and another audit Pod, cause no call
    of any kind; the next real change is one call with one finding.
    """
    names = [f"rewritten-{n}" for n in range(20)]
    live.apply(
        *(report(name, result("rewrite"), result("rewrite-pass", result="pass")) for name in names),
        *(report(name, result("rewrite-open", source="other"), kind="Report") for name in names[:5]),
        constraint("rewrite", "pod-a", "pod-b"),
    )
    live.until(lambda: len(live.of("rewrite")) == 20, "the findings")
    live.synced()
    mark, before = live.mark(), seen(live, "none")
    for seconds in (2_000_000_001, 1_700_000_000):
        stamp = {"seconds": seconds, "nanos": 5}
        live.apply(
            *(
                report(name, result("rewrite", timestamp=stamp), result("rewrite-pass", result="pass", timestamp=stamp))
                for name in names
            ),
            *(
                report(name, result("rewrite-open", source="other", timestamp=stamp), kind="Report")
                for name in names[:5]
            ),
            constraint("rewrite", "pod-a", "pod-b"),
        )
    live.until(lambda: seen(live, "none") >= before + 2 * 26, "all rewrites to be read")
    live.apply(report(names[0], result("rewrite", message="another message")))
    live.until(lambda: len(live.journal(mark)) == 1, "the one change")
    assert [(call["operation"], call["findings"]) for call in live.calls(mark)] == [("BatchImportFindings", 1)]
    assert outcomes(live.journal(mark)) == ["changed"]


def test_fix_and_relapse(live: World) -> None:
    """A result that changes to `pass` archives its finding at once, whatever the delay; a relapse reactivates the same
    finding with its first time and the analyst's note and severity; NOTIFIED becomes NEW by the hub's rule, SUPPRESSED
    stays.
    """
    failing = [report(name, result("relapse")) for name in ("told", "quiet")]
    live.apply(*failing)
    live.await_states("relapse", told="ACTIVE", quiet="ACTIVE")
    first = live.of("relapse")
    live.hub.analyst([first["told"]["Id"]], workflow="NOTIFIED", note="Ana looks into it", Severity={"Label": "LOW"})
    live.hub.analyst([first["quiet"]["Id"]], workflow="SUPPRESSED")
    live.apply(*(report(name, result("relapse", result="pass")) for name in ("told", "quiet")))
    live.await_states("relapse", told="ARCHIVED", quiet="ARCHIVED")
    assert live.of("relapse")["told"]["Workflow"] == {"Status": "NOTIFIED"}
    live.apply(*failing)
    live.await_states("relapse", told="ACTIVE", quiet="ACTIVE")
    again = live.of("relapse")
    for name in first:
        for member in ("Id", "CreatedAt", "FirstObservedAt"):
            assert again[name][member] == first[name][member]
    assert again["told"]["Note"]["Text"] == "Ana looks into it"
    assert again["told"]["Severity"]["Label"] == "LOW"
    assert again["told"]["Workflow"] == {"Status": "NEW"}
    assert again["quiet"]["Workflow"] == {"Status": "SUPPRESSED"}


def test_a_change_updates_the_finding(live: World) -> None:
    """Another message, severity or result changes the finding in place, and an analyst's workflow status stays."""
    live.apply(report("changing", result("change")))
    live.await_states("change", changing="ACTIVE")
    first = live.of("change")["changing"]
    live.hub.analyst([first["Id"]], workflow="NOTIFIED")
    live.apply(report("changing", result("change", severity="critical", result="warn", message="worse than it was")))
    live.until(lambda: live.of("change")["changing"]["Severity"]["Label"] == "CRITICAL", "the new severity")
    changed = live.of("change")["changing"]
    assert changed["Id"] == first["Id"]
    assert changed["CreatedAt"] == first["CreatedAt"]
    assert changed["UpdatedAt"] > first["UpdatedAt"]
    assert changed["Compliance"]["Status"] == "WARNING"
    assert "worse than it was" in changed["Description"]
    assert changed["Workflow"] == {"Status": "NOTIFIED"}


def test_a_violation_in_two_reports(live: World) -> None:
    """It stays active when one of the reports passes, until the other does too. Because they are in two APIs, the last
    pass counts after the archive delay.
    """
    live.apply(
        report("twice", result("voices", source="twofold")),
        report("twice", result("voices", source="twofold"), kind="Report"),
    )
    live.await_states("voices", twice="ACTIVE")
    mark = live.mark()
    live.apply(report("twice", result("voices", source="twofold", result="pass")))
    live.apply(report("other", result("voices", source="twofold")))
    live.await_states("voices", twice="ACTIVE", other="ACTIVE")
    live.apply(report("twice", result("voices", source="twofold", result="pass"), kind="Report"))
    live.await_states("voices", twice="ARCHIVED", other="ACTIVE")
    assert outcomes(live.journal(mark)) == ["archived", "created"]


def test_malformed_objects_stop_no_others(live: World) -> None:
    """Reports with members of the wrong type, null members, huge texts and any characters are read as far as possible:
    readable results arrive complete, unreadable ones are counted, and other reports are not affected.
    """
    odd = "Ünïcödé 😀 \u202e \x07 " + "x" * 20_000
    nameless = {**report("list", result("odd")), "results": "not a list"}
    nulls = {
        **report("nulls", result("odd", severity=None, message=None, properties=None, timestamp=None)),
        "summary": None,
    }
    readable = result("odd", properties={"a": 1}, severity=3)
    wrong = {**report("wrong"), "results": [{"policy": 7, "result": "fail"}, 12, None, readable]}
    huge = report("huge", result("odd", message=odd, properties={f"key {n}": odd[:900] for n in range(100)}))
    before = live.operator.metric("policyhub_source_objects_malformed_total", cluster="alpha")
    for document in (nameless, nulls, wrong, huge, report("healthy", result("odd"))):
        live.create(document)
    live.await_states("odd", nulls="ACTIVE", wrong="ACTIVE", huge="ACTIVE", healthy="ACTIVE")
    counted = "policyhub_source_objects_malformed_total"
    live.until(
        lambda: live.operator.metric(counted, cluster="alpha") >= before + 3, "what cannot be read to be counted"
    )
    assert "Ünïcödé 😀" in live.of("odd")["huge"]["Description"]
    assert live.operator.metric("policyhub_findings_rejected_total") == 0
    assert live.condition("SourcesComplete")["status"] == "True"
