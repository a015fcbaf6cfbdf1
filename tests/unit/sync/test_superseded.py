"""Which reports an engine left behind: by engine, API and namespace, and only once all APIs have been listed."""

from collections.abc import Callable

import pytest

from policyhub.clock import SteadyMs, WallMs
from policyhub.doctor.engines import Seen
from policyhub.model.engines import MAX_ENGINES_PER_NAMESPACE
from policyhub.model.source_apis import CONSTRAINTS, OPEN_REPORTS, POLICY_REPORTS
from policyhub.render.collector import Collector
from policyhub.render.target import target
from policyhub.sync.superseded import SUPERSEDED_AFTER_SECONDS, Superseded

NOW = 1_790_000_000
OLD = NOW - SUPERSEDED_AFTER_SECONDS - 1
KYVERNO_OLD = frozenset({("kyverno", POLICY_REPORTS, "shop")})


def noted(*notes: tuple[str, str, str, int]) -> Superseded:
    made = Superseded()
    for note in notes:
        made.note(*note)
    made.evaluate(all_listed=True, listed_at=SteadyMs(1))
    return made


@pytest.mark.parametrize(
    ("old", "new", "superseded", "dual"),
    [
        pytest.param(OLD, NOW, KYVERNO_OLD, frozenset(), id="left behind"),
        pytest.param(OLD + 1, NOW, frozenset(), {("kyverno", "shop")}, id="close to one another"),
        pytest.param(NOW, NOW, frozenset(), {("kyverno", "shop")}, id="both at once"),
        pytest.param(NOW, OLD, {("kyverno", OPEN_REPORTS, "shop")}, frozenset(), id="switched back"),
        pytest.param(OLD, None, frozenset(), frozenset(), id="one API"),
    ],
)
def test_who_is_left_behind(
    old: int, new: int | None, superseded: frozenset[tuple[str, str, str]], dual: set[tuple[str, str]]
) -> None:
    """Far apart the older ones are superseded; close to one another the engine writes into both."""
    notes = [(POLICY_REPORTS, "kyverno", "shop", old)]
    if new is not None:
        notes.append((OPEN_REPORTS, "kyverno", "shop", new))
    made = noted(*notes)
    assert made.reports == superseded
    assert made.dual == dual


def test_nobody_speaks_for_another_namespace() -> None:
    """A fresh report in one namespace says nothing of an engine's reports elsewhere, nor of cluster-scoped ones."""
    made = noted(
        (POLICY_REPORTS, "kyverno", "shop", OLD),
        (POLICY_REPORTS, "kyverno", "", OLD),
        (POLICY_REPORTS, "kyverno", "tenant", OLD),
        (OPEN_REPORTS, "kyverno", "tenant", NOW),
        (POLICY_REPORTS, "trivy", "tenant", OLD),
    )
    assert made.reports == {("kyverno", POLICY_REPORTS, "tenant")}


def test_nothing_changes_before_all_are_listed() -> None:
    """Neither at a start nor after a reconnect: the API that supersedes may be the one that is not listed yet."""
    made = Superseded()
    made.note(POLICY_REPORTS, "kyverno", "shop", OLD)
    made.note(OPEN_REPORTS, "kyverno", "shop", NOW)
    assert not made.evaluate(all_listed=False)
    assert not made.reports
    assert not made.dual
    assert made.evaluate(all_listed=True, listed_at=SteadyMs(1))
    assert made.reports == KYVERNO_OLD
    made.note(POLICY_REPORTS, "kyverno", "shop", OLD)  # the listing after a reconnect: the older API first
    assert not made.evaluate(all_listed=False)
    assert made.reports == KYVERNO_OLD
    assert not made.evaluate(all_listed=True, listed_at=SteadyMs(2))
    assert made.reports == KYVERNO_OLD


def test_reports_that_go_bring_nothing_back() -> None:
    """The newer reports are wiped: the older ones, which listings still bring, stay left behind."""
    made = noted((POLICY_REPORTS, "kyverno", "shop", OLD), (OPEN_REPORTS, "kyverno", "shop", NOW))
    for moment in range(2, 9):
        made.note(POLICY_REPORTS, "kyverno", "shop", OLD)
        made.evaluate(all_listed=True, listed_at=SteadyMs(moment))
    assert made.reports == KYVERNO_OLD


def test_a_result_brings_them_back() -> None:
    """The engine writes to the older API again: both are heard, and it says that something has changed, once."""
    made = noted((POLICY_REPORTS, "kyverno", "shop", OLD), (OPEN_REPORTS, "kyverno", "shop", NOW))
    made.note(POLICY_REPORTS, "kyverno", "shop", NOW + 60)
    assert made.evaluate(all_listed=True, listed_at=SteadyMs(1))
    assert not made.evaluate(all_listed=True, listed_at=SteadyMs(1))
    assert not made.reports
    assert made.dual == {("kyverno", "shop")}


def test_what_no_listing_brings_is_forgotten() -> None:
    """A namespace that is gone: nothing is kept of it after two whole rounds of listings, and not before."""
    made = noted((POLICY_REPORTS, "kyverno", "shop", OLD), (OPEN_REPORTS, "kyverno", "shop", NOW))
    kept = []
    for moment in range(2, 6):
        made.evaluate(all_listed=True, listed_at=SteadyMs(moment))
        made.evaluate(all_listed=True, listed_at=SteadyMs(moment))  # the same round
        kept.append(bool(made.reports))
    assert kept == [True, True, False, False]
    made.note(OPEN_REPORTS, "kyverno", "shop", NOW)
    made.evaluate(all_listed=True, listed_at=SteadyMs(9))
    assert not made.reports
    assert not made.dual


def test_names_of_one_namespace_are_bounded() -> None:
    """Whoever may write reports in a namespace may name engines: few are told apart, and known ones always."""
    made = Superseded(known={"kyverno"}, each=3)
    for number in range(1_000):
        for group, at in ((POLICY_REPORTS, OLD), (OPEN_REPORTS, NOW)):
            made.note(group, f"engine{number}", "tenant", at)
    for namespace in ("tenant", "shop"):
        for group, at in ((POLICY_REPORTS, OLD), (OPEN_REPORTS, NOW)):
            made.note(group, "kyverno", namespace, at)
    made.note(POLICY_REPORTS, "mine", "shop", OLD)
    made.note(OPEN_REPORTS, "mine", "shop", NOW)
    made.evaluate(all_listed=True, listed_at=SteadyMs(1))
    assert len(made.reports) == 3 + 3
    assert len(made._times) == 3 + 3
    assert ("mine", POLICY_REPORTS, "shop") in made.reports
    for moment in range(2, 6):
        made.evaluate(all_listed=True, listed_at=SteadyMs(moment))
    assert not made._times
    assert not made._named


def test_of_three_apis_the_newest_counts() -> None:
    """What is far older than the newest of any is superseded by it; those close to it are dual."""
    apis = (POLICY_REPORTS, OPEN_REPORTS, "reports.example.com")
    made = Superseded(groups=apis)
    for group, shop, bank in zip(apis, (OLD, NOW - 60, NOW), (NOW, OLD, OLD), strict=True):
        made.note(group, "kyverno", "shop", shop)
        made.note(group, "kyverno", "bank", bank)
    made.evaluate(all_listed=True, listed_at=SteadyMs(1))
    assert made.reports == {
        ("kyverno", POLICY_REPORTS, "shop"),
        ("kyverno", OPEN_REPORTS, "bank"),
        ("kyverno", "reports.example.com", "bank"),
    }
    assert made.dual == {("kyverno", "shop")}
    assert made.replaced() == [
        ("kyverno", OPEN_REPORTS, POLICY_REPORTS),
        ("kyverno", "reports.example.com", POLICY_REPORTS),
        ("kyverno", POLICY_REPORTS, "reports.example.com"),
    ]


def test_constraints_supersede_no_reports() -> None:
    """Whatever an audit's time: no engine switches between reports and constraints."""
    made = noted((POLICY_REPORTS, "gatekeeper", "shop", OLD), (CONSTRAINTS, "gatekeeper", "shop", NOW))
    assert not made.reports
    assert not made.dual


@pytest.mark.parametrize(
    "judge",
    [
        pytest.param(Superseded, id="operator"),
        pytest.param(lambda: Seen().superseded, id="doctor"),
        pytest.param(
            lambda: Collector(target({}), now=WallMs(NOW * 1000), report_error=print)._superseded, id="render"
        ),
    ],
)
def test_there_is_one_rule(judge: Callable[[], Superseded]) -> None:
    """Who brings in many names of engines is held to as few by the doctor and render as by the operator."""
    made = judge()
    for number in range(2 * MAX_ENGINES_PER_NAMESPACE):
        for group, at in ((POLICY_REPORTS, OLD), (OPEN_REPORTS, NOW)):
            made.note(group, f"engine{number}", "tenant", at)
    for group, at in ((POLICY_REPORTS, OLD), (OPEN_REPORTS, NOW)):
        made.note(group, "kyverno", "tenant", at)
    made.evaluate(all_listed=True, listed_at=SteadyMs(1))
    assert len(made.reports) == MAX_ENGINES_PER_NAMESPACE + 1
    assert ("kyverno", POLICY_REPORTS, "tenant") in made.reports
