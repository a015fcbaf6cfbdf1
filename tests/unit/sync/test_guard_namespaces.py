"""The guard by namespace: what one namespace can do to the findings of another, and exactly where."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from policyhub.clock import SteadyMs
from policyhub.sync.guard import ALL_FROM, MANY_ABOVE, SHARE_ABOVE, SOME_ABOVE, Guard, threshold_reason

NOW = SteadyMs(1_790_000_000_000)
ENGINE = "kyverno"
TENANT, VICTIM = "tenant", "victim"
Numbers = dict[str, tuple[int, int]]
"""Namespace → findings lost, of so many active."""


def guard(numbers: Numbers) -> Guard:
    """Set the numbers directly: a tenant may have any number of findings."""
    made = Guard()
    for namespace, (lost, active) in numbers.items():
        if active:
            made.count((ENGINE, namespace), active)
        if lost:
            made._lost[ENGINE][namespace] = lost
    return made


def closed(numbers: Numbers, namespace: str = VICTIM) -> bool:
    return guard(numbers).is_closed((ENGINE, namespace), now=NOW)


def others(number: int, *, lost: int, active: int) -> Numbers:
    return {f"n{n}": (lost, active) for n in range(number)}


QUIET = {VICTIM: (1, 10), **others(9, lost=0, active=10)}
"""One finding is lost, by a cluster of ten namespaces."""
WIDE = {VICTIM: (1, 10), **others(9, lost=9, active=10)}
"""Nine of ten namespaces lose most of their findings."""

ATTACKS = {
    "is not there": (0, 0),
    "has the most": (0, 1_000_000),
    "loses 10,000 of many": (10_000, 1_000_000),
    "loses 10,000, all it has": (10_000, 10_000),
    "loses more than it has": (10_000, 1),
    "loses what it never had": (10_000, 0),
    "loses one, all it has": (1, 1),
    "loses twenty, all it has": (20, 20),
    "has one": (0, 1),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_tenant_does_not_close_the_guard_for_another(attack: str) -> None:
    """Whatever it loses or has: it is one of ten, and the findings of others are archived as before."""
    assert not closed({**QUIET, TENANT: ATTACKS[attack]})


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_tenant_does_not_open_the_guard_for_another(attack: str) -> None:
    """Whatever it has: a loss in most namespaces is held."""
    assert closed({**WIDE, TENANT: ATTACKS[attack]})


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_tenant_does_not_release_the_losses_of_another(attack: str) -> None:
    """A namespace that lost all of its twenty is held by its own numbers."""
    assert closed({**others(9, lost=0, active=10), VICTIM: (20, 20), TENANT: ATTACKS[attack]})


@pytest.mark.parametrize(
    ("own", "held"),
    [((10_000, 10_000), True), ((10_000, 1_000_000), True), ((5_000, 1_000_000), False), ((1, 1), False)],
)
def test_the_losses_of_a_tenant_are_held_by_its_own_numbers(own: tuple[int, int], *, held: bool) -> None:
    """It closes the guard for itself."""
    assert closed({**QUIET, TENANT: own}, TENANT) == held


@pytest.mark.parametrize(
    ("numbers", "held"),
    [
        pytest.param(others(20, lost=10, active=11), True, id="20 namespaces, 10 of 11 each"),
        pytest.param(others(20, lost=1, active=1), True, id="20 findings in all, one each"),
        pytest.param(others(19, lost=1, active=1), False, id="19 findings in all"),
        pytest.param({**others(7, lost=10, active=20), "big": (0, 10_000)}, True, id="with one large namespace"),
        pytest.param(others(25, lost=3, active=10), False, id="30 % each"),
        pytest.param(
            {**others(3, lost=12, active=30), "q1": (0, 30), "q2": (0, 30)}, True, id="three of five lost 40 %"
        ),
        pytest.param(
            {**others(3, lost=12, active=30), "q1": (0, 30), "q2": (0, 30), "q3": (0, 30)},
            False,
            id="three of six lost 40 %",
        ),
        pytest.param(others(1, lost=19, active=20), False, id="one of one is no cluster-wide loss"),
        pytest.param({f"n{n}": (1_100, 100_000) for n in range(6)}, True, id="more than 5,000 beside the most"),
        pytest.param({f"n{n}": (1_000, 100_000) for n in range(6)}, False, id="no more than 5,000 beside the most"),
        pytest.param({"n0": (1, 20), "": (18, 20), **{f"q{n}": (0, 20) for n in range(5)}}, False, id="19 in all"),
        pytest.param(
            {"n0": (1, 20), "": (100, 110), **{f"q{n}": (0, 20) for n in range(5)}},
            True,
            id="cluster-scoped findings are never left out",
        ),
    ],
)
def test_a_cluster_wide_loss_holds_each_namespace(numbers: Numbers, *, held: bool) -> None:
    """Although each of them alone lost too little to be held."""
    assert not threshold_reason(*numbers["n0"])
    assert closed(numbers, "n0") == held


def test_a_cluster_wide_loss_holds_cluster_scoped_findings() -> None:
    """They form a scope like others; a scope without losses is not held."""
    numbers = {**WIDE, "": (1, 50), "untouched": (0, 50)}
    assert closed(numbers, "")
    assert not closed(numbers, "untouched")


def test_engines_are_independent() -> None:
    """Losses of one engine hold nothing of another."""
    made = guard(WIDE)
    made.count(("trivy", VICTIM), 30)
    made._lost["trivy"][VICTIM] = 1
    assert made.is_closed((ENGINE, VICTIM), now=NOW)
    assert not made.is_closed(("trivy", VICTIM), now=NOW)
    assert not made.is_closed(("none", VICTIM), now=NOW)


def test_a_source_without_active_findings_is_evaluated() -> None:
    """It lost all its findings."""
    made = guard({VICTIM: (20, 0)})
    assert made.evaluate(now=NOW) == ({(ENGINE, VICTIM)}, set())
    assert made.held[ENGINE].lost == 20
    assert made.held[ENGINE].total == 0


def test_the_holds_of_an_engine_are_reported_as_one() -> None:
    """Since the first hold, with the losses of all its namespaces."""
    made = guard({"a": (20, 20), "b": (60, 100)})
    made.evaluate(now=NOW)
    made._lost[ENGINE]["d"], made._active[ENGINE]["d"] = 30, 30
    made.evaluate(now=NOW + 5)
    held = made.held[ENGINE]
    assert (held.since, held.lost, held.total) == (NOW, 110, 150)
    assert held.reason


# -- any numbers ------------------------------------------------------------------------------------------------------

small = st.integers(0, 120)
named = st.sampled_from(["a", "b", "c", "d", "e", "f", ""])
any_numbers = st.tuples(small, small).map(lambda two: (min(two), max(two)))
numbers_of_others = st.dictionaries(named, any_numbers)
calm = st.dictionaries(named, st.integers(1, 120).map(lambda active: (3 * active // 10, active)), min_size=3)
"""No namespace lost more than 30 %."""
few_findings = st.dictionaries(named, st.tuples(st.integers(0, 2), st.integers(0, 9)).map(lambda t: (t[0], sum(t))))
most_lost_much = st.fixed_dictionaries(
    {f"h{n}": st.tuples(st.integers(4, 120), st.integers(0, 8)).map(lambda t: (t[0], sum(t))) for n in range(5)},
    optional={name: small.map(lambda active: (0, active)) for name in ("q", "")},
)
"""Five of eight namespaces at most."""
few_lost_much = st.fixed_dictionaries(
    {f"h{n}": st.tuples(st.integers(60, 120), st.integers(0, 20)).map(lambda t: (t[0], sum(t))) for n in range(4)}
    | {f"q{n}": st.integers(1, 5).map(lambda active: (0, active)) for n in range(6)}
)
"""Four of ten namespaces: no vote decides."""
of_victim = st.tuples(st.integers(1, 120), st.integers(0, 120)).map(lambda two: (two[0], two[0] + two[1]))
lost_much = st.tuples(st.integers(51, 120), st.integers(0, 80)).map(lambda two: (two[0], sum(two)))
lost_some = st.tuples(st.integers(1, 19), st.integers(0, 120)).map(lambda two: (two[0], sum(two)))
lost_few = st.tuples(st.integers(1, 5), st.integers(0, 20)).map(lambda two: (two[0], sum(two)))
anything = st.tuples(st.integers(0, 20_000), st.integers(0, 20_000))


def hurt(numbers: Numbers) -> tuple[int, int]:
    """How many namespaces lost more than their share, of how many that have findings."""
    there = [(lost, active) for lost, active in numbers.values() if active]
    return sum(lost > SHARE_ABOVE * active for lost, active in there), len(there)


@given(rest=numbers_of_others, victim=lost_much, tenant=anything)
def test_its_own_numbers_hold_it_whatever_a_tenant_does(
    rest: Numbers, victim: tuple[int, int], tenant: tuple[int, int]
) -> None:
    """No numbers of another namespace release its own losses."""
    assume(threshold_reason(*victim))
    assert closed({**rest, VICTIM: victim, TENANT: tenant})


@given(rest=few_findings, victim=lost_few, tenant=anything)
def test_a_tenant_closes_it_by_the_vote_alone(rest: Numbers, victim: tuple[int, int], tenant: tuple[int, int]) -> None:
    """Where the others lost fewer than 20 together and it is not held by its own numbers, nothing that one namespace
    does closes it, but where two at least and more than half are hurt, itself counted as one. The 20 findings of that
    rule may be its own.
    """
    others_ = {**rest, VICTIM: victim}
    assume(sum(lost for lost, _ in others_.values()) < ALL_FROM)
    everyone = {**others_, TENANT: tenant}
    if closed(everyone):
        bad, of = hurt(everyone)
        assert threshold_reason(*victim) or (bad > 1 and 2 * bad > of)
        assert hurt(others_)[0] >= 1


@given(rest=calm, victim=lost_some, tenant=anything)
def test_a_tenants_losses_never_count_for_others(
    rest: Numbers, victim: tuple[int, int], tenant: tuple[int, int]
) -> None:
    """However many a tenant loses, where its vote is not the one that decides, only a loss that the others share closes
    it: 20 findings of theirs at least.
    """
    others_ = {**rest, VICTIM: victim}
    bad, of = hurt(others_)
    assume(not threshold_reason(*victim) and 2 * (bad + 1) <= of + 1)
    if closed({**others_, TENANT: tenant}):
        assert sum(lost for lost, _ in others_.values()) >= ALL_FROM


@given(rest=most_lost_much, victim=of_victim, tenant=anything)
def test_a_tenant_does_not_open_a_loss_of_most_namespaces(
    rest: Numbers, victim: tuple[int, int], tenant: tuple[int, int]
) -> None:
    """Two namespaces and more than half, with the tenant counted as not affected, and 20 findings."""
    others_ = {**rest, VICTIM: victim}
    bad, of = hurt(others_)
    assume(sum(lost for lost, _ in others_.values()) >= ALL_FROM and bad > 1 and 2 * bad > of + 1)
    assert closed({**others_, TENANT: tenant})


@given(rest=few_lost_much, victim=of_victim, tenant=anything)
def test_a_tenant_does_not_open_what_trips_without_the_two_that_lost_most(
    rest: Numbers, victim: tuple[int, int], tenant: tuple[int, int]
) -> None:
    """Where the others lost too much of all that they have even without the two that lost most."""
    others_ = {**rest, VICTIM: victim}
    losses = sorted(lost for name, (lost, _) in others_.items() if name)
    lost = sum(lost for lost, _ in others_.values()) - sum(losses[-2:])
    active = sum(active for _, active in others_.values())
    assume(lost > SOME_ABOVE and lost > SHARE_ABOVE * active)
    assert closed({**others_, TENANT: tenant})


@pytest.mark.parametrize(
    ("honest", "tenant", "without", "with_"),
    [
        pytest.param({VICTIM: (1, 1)}, (19, 19), False, True, id="two namespaces: both are more than half"),
        pytest.param({VICTIM: (1, 1), "a": (0, 9)}, (19, 19), False, True, id="three: it and one more"),
        pytest.param({VICTIM: (1, 1), "a": (0, 9), "b": (0, 9)}, (19, 19), False, False, id="four: half is not enough"),
        pytest.param({VICTIM: (10, 20), "a": (10, 20), "b": (0, 9)}, (0, 9), True, False, id="it is not hurt: a half"),
        pytest.param({VICTIM: (1, 1), "a": (1, 1)}, (18, 0), False, True, id="the 20 of the vote are its own"),
        pytest.param(
            {VICTIM: (1, 10), "most": (100, 100), **others(5, lost=0, active=10)},
            (101, 1_000),
            False,
            True,
            id="it loses more than who lost most: that one is counted again",
        ),
        pytest.param(
            {VICTIM: (1, 10), "a": (70, 80), "b": (60, 70), "c": (0, 50), "d": (0, 5), "e": (0, 5), "big": (0, 9_000)},
            (0, 9_001),
            True,
            False,
            id="it has more than who had most: that one is counted again",
        ),
        pytest.param(
            {VICTIM: (1, 10), "a": (70, 80), "b": (60, 70), "c": (0, 50), "d": (0, 5), "e": (0, 5), "big": (0, 9_000)},
            (0, 8_999),
            True,
            False,
            id="it has many, and another has more: they make the share smaller",
        ),
        pytest.param(
            {VICTIM: (1, 10), "most": (100, 100), "big": (0, 200), **others(5, lost=0, active=10)},
            (60, 60),
            False,
            True,
            id="it loses many, and another lost more: they count",
        ),
    ],
)
def test_where_one_namespace_tips_the_scale(
    honest: Numbers,
    tenant: tuple[int, int],
    *,
    without: bool,
    with_: bool,
) -> None:
    """The limits of it, by example: its one vote where there are few; whom it takes the place of as the one that is
    left out; and what it has or loses beside another that has or lost more. All of them need losses of others, and
    none touches what a namespace lost beyond its own thresholds.
    """
    assert closed(honest) == without
    assert closed({**honest, TENANT: tenant}) == with_


def test_the_thresholds_are_as_documented() -> None:
    """By the table of the module."""
    assert [ALL_FROM, SOME_ABOVE, SHARE_ABOVE, MANY_ABOVE] == [20, 50, 0.3, 5_000]
