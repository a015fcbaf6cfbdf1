"""What the fault bench takes for the truth: of whoever changes the cluster, and of the API server's own objects."""

import pytest

from tests.faults import paper
from tests.faults.census import Census, Said
from tests.faults.family import Family, Ref
from tests.faults.paper import Result
from tests.faults.truth import GATEKEEPER, Call, Statement, Truth, Unlisted, Violation, ended
from tests.unit.faults.test_family import NEW, OLD, POD, WEB, rolled_out, stored

BAD = Violation("one", "alpha", "check", *WEB)
STAMP = {"seconds": 1_700_000_000, "nanos": 0}
FRESH = Ref("Pod", "north", "web-2-a")
KIND, NAME = "K", "whole"
LISTED = Violation(GATEKEEPER, KIND, NAME, *WEB)


def said(*about: Ref, failing: bool = True) -> Statement:
    """A report on one object, which fails or passes."""
    calls = frozenset(Call("one", "alpha", "check", ref) for ref in about if failing)
    return Statement(calls, "one", about[0], spoke=frozenset(("one", ref) for ref in about if ref.kind == "Pod"))


def listed(*pods: Ref, audited: int) -> Statement:
    return Statement(frozenset(Call(GATEKEEPER, KIND, NAME, pod) for pod in pods), audited=audited)


def at_work() -> Truth:
    """One Pod of a Deployment, and a failing report on it, from 1 on."""
    truth = Truth()
    for document in (stored(OLD, owner=WEB, revision=1), stored(POD, owner=OLD, created=5)):
        truth.put(document, now=0)
    truth.say(("pod",), said(POD), now=1)
    return truth


def test_a_violation_lasts_from_its_first_caller_to_its_last() -> None:
    """Two reports that say the same make one violation, which ends when neither says it any more."""
    truth = Truth()
    bad, good = said(WEB), said(WEB, failing=False)
    for key, moment, statement in (("x", 1, bad), ("y", 2, bad), ("x", 3, good), ("y", 4, None), ("y", 9, bad)):
        truth.say((key,), statement, now=moment)
    assert truth.existed[BAD] == [[1, 4], [9]]
    assert truth.violations() == {BAD}


def test_a_rollout_ends_nothing() -> None:
    """Reported on each level, by Pods that come and go: one violation, all the time."""
    truth = at_work()
    truth.put(stored(NEW, owner=WEB, revision=2), now=2)
    truth.put(stored(FRESH, owner=NEW), now=3)
    truth.say(("fresh",), said(FRESH), now=4)
    truth.drop(POD, now=5)
    truth.say(("pod",), None, now=6)
    assert truth.existed == {BAD: [[1]]}
    truth.drop(FRESH, now=7)
    assert truth.existed == {BAD: [[1, 7]]}
    assert truth.violations() == set()


@pytest.mark.parametrize("first", ["pod", "report"])
def test_nothing_has_ended_before_new_pods_are_looked_at(first: str) -> None:
    """The last Pod that failed goes, and its report, in either order: nobody calls, and yet it may be there, until the
    engine has looked at what lives.
    """
    truth = at_work()
    truth.put(stored(FRESH, owner=OLD), now=2)
    for moment, step in enumerate(("pod", "report") if first == "pod" else ("report", "pod"), 3):
        if step == "pod":
            truth.drop(POD, now=moment)
        else:
            truth.say(("pod",), None, now=moment)
    assert truth.violations() == set()
    assert truth.unseen(BAD)
    assert truth.existed[BAD] == [[1]]
    truth.say(("fresh",), said(FRESH, failing=False), now=9)
    assert not truth.unseen(BAD)
    assert truth.existed[BAD] == [[1, 9]]


def test_another_engines_word_ends_nothing() -> None:
    """That one engine passes the object says nothing of what another has not looked at."""
    truth = at_work()
    truth.put(stored(FRESH, owner=OLD), now=2)
    truth.say(("pod",), None, now=3)
    truth.say(("other",), Statement(by="two", about=WEB), now=4)
    assert truth.existed[BAD] == [[1]]


@pytest.mark.parametrize("spoken", ["pod", "own"])
def test_a_word_ends_it_although_pods_were_not_looked_at(spoken: str) -> None:
    """The report that called is written again without it, or the object's own report is."""
    truth = at_work()
    truth.put(stored(FRESH, owner=OLD), now=2)
    if spoken == "own":
        truth.say(("pod",), None, now=3)
    truth.say((spoken,), said(WEB if spoken == "own" else POD, failing=False), now=4)
    assert truth.existed[BAD] == [[1, 4]]


def test_an_audit_says_nothing_of_pods_that_came_since() -> None:
    """A list that lacks a Deployment ends nothing while a Pod of it is younger than the audit."""
    truth = at_work()
    created = truth.family.things[POD].created
    key = KIND, NAME
    truth.say(key, listed(POD, audited=created + 10), now=1)
    truth.put(stored(FRESH, owner=OLD, created=25), now=2)
    truth.put(stored(NEW, owner=WEB, revision=2, created=50), now=2)  # constraints are about Pods
    truth.drop(POD, now=3)
    truth.say(key, listed(POD, audited=created + 15), now=4)
    truth.say(key, listed(audited=created + 20), now=5)
    assert truth.existed[LISTED] == [[1]]
    truth.say(key, listed(audited=created + 21), now=6)
    assert truth.existed[LISTED] == [[1, 6]]


def test_a_constraint_that_is_deleted_asks_for_nothing() -> None:
    """However young the Pods are."""
    truth = at_work()
    truth.say((KIND, NAME), listed(POD, audited=1), now=1)
    assert truth.unseen(LISTED)
    truth.say((KIND, NAME), None, now=2)
    assert truth.existed[LISTED] == [[1, 2]]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([[0.0]], False),
        ([[0.0, 15.0]], True),
        ([[0.0, 21.0]], False),
        ([[12.0]], True),
        ([[0.0, 5.0], [6.0]], False),
        ([], True),
    ],
)
def test_ended(spans: list[list[float]], *, expected: bool) -> None:
    """Whether something was absent at some moment between 10 and 20."""
    assert ended(spans, since=10, until=20) == expected


@pytest.mark.parametrize("kind", ["PolicyReport", "Report", "ClusterPolicyReport", "ClusterReport"])
def test_reports_are_read(kind: str) -> None:
    """Failing, warning and erring results are violations, with what they say; others are none."""
    about = Ref("ClusterRole", "", "web-1") if kind.startswith("Cluster") else Ref("Deployment", "north", "web-1")
    results = [Result("alpha", "check"), Result("alpha", "limit", "warn", "high", 2), Result("beta", "check", "pass")]
    census = Census()
    census.read_report(paper.report(about, results, source="one", kind=kind, stamp=STAMP))
    first = Violation("one", "alpha", "check", *about)
    assert census.seen == {
        first: {Said("FAILED", "MEDIUM", "check of alpha is not met, as seen in way 0")},
        first._replace(rule="limit"): {Said("WARNING", "HIGH", "limit of alpha is not met, as seen in way 2")},
    }


def test_reports_on_pods_are_read_as_their_controllers() -> None:
    """By the owners that the API server has, in words that name no Pod; the Deployment's own words come first."""
    census = Census(family=rolled_out())
    results = [Result("alpha", "check", "warn", "low")]
    census.read_report(paper.report(POD, [Result("alpha", "check")], source="one", kind="Report", stamp=STAMP))
    fails = Said("FAILED", "MEDIUM", "check of alpha is not met by <pod>, as seen in way 0", own=False)
    assert census.voice(BAD) == fails
    census.read_report(paper.report(OLD, results, source="one", kind="Report", stamp=STAMP))
    assert census.voice(BAD) == fails
    census.read_report(paper.report(WEB, results, source="one", kind="Report", stamp=STAMP))
    assert census.voice(BAD) == Said("WARNING", "LOW", "check of alpha is not met, as seen in way 0")
    census.read_report(paper.report(FRESH, [Result("beta", "check")], source="one", kind="Report", stamp=STAMP))
    assert census.seen.keys() == {BAD}


def test_constraints_are_read() -> None:
    """What lives of a constraint's list is read; where it is truncated, what has Pods beyond its last is open."""
    family = Family()
    pods = [Ref("Pod", "north", f"pod-{n}") for n in range(8)]
    for pod in pods[1:]:
        family.put(stored(pod))
    census = Census(family=family)
    census.unlisted = Unlisted({}, family)
    census.read_constraint(paper.constraint("whole", pods[:3], total=3, kind="K", audited=1))
    census.read_constraint(paper.constraint("cut", pods[:3], total=5, kind="K", audited=1))
    census.read_constraint(paper.constraint("one", pods[:1], total=5, kind="K", audited=1))
    notices = {v for v in census.seen if v.kind == "K"}
    assert {v.name for v in notices} == {"cut", "one"}
    assert len(census.seen) == 4 + len(notices)
    assert census.unlisted.cut == {("K", "cut"): ("north", "pod-2"), ("K", "one"): None}
    beyond = Violation(GATEKEEPER, "K", "cut", *pods[7])
    opened = census.unlisted.leaves_open
    assert opened(beyond)
    assert not opened(beyond._replace(name="pod-1"))
    assert not opened(beyond._replace(rule="whole"))
    assert opened(beyond._replace(rule="one", name="pod-1"))


def test_a_controller_is_open_where_one_of_its_pods_is() -> None:
    """A truncated list speaks of a Deployment where it would have named each of its Pods; to who knows of Pods."""
    family = rolled_out()
    cut = {(KIND, NAME): ("north", "web-1-b")}
    assert not Unlisted(cut, family).leaves_open(LISTED)
    assert Unlisted(cut, family, restarted=True).leaves_open(LISTED)
    family.put(stored(FRESH, owner=NEW))
    assert Unlisted(cut, family).leaves_open(LISTED)
