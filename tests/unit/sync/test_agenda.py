"""What is to be decided when, and what is held."""

import pytest

from policyhub.clock import SteadyMs
from policyhub.sync import agenda
from policyhub.sync.agenda import Agenda
from policyhub.sync.holds import Hold
from policyhub.sync.lanes import Lane

NOW = SteadyMs(1_790_000_000_000)


class Woken:
    """Counts how often somebody is told that there is something to decide."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def agenda_of(**holds: tuple[Hold, str]) -> Agenda:
    made = Agenda(on_dirty=lambda: None)
    for id_, (hold, namespace) in holds.items():
        made.hold(id_, hold, namespace)
    return made


def held() -> Agenda:
    return agenda_of(
        a=(Hold.SOURCE, "shop"),
        b=(Hold.SOURCE, "bank"),
        c=(Hold.GUARD, "shop"),
        d=(Hold.DELAY, ""),
        e=(Hold.SOURCE, "shop"),
    )


@pytest.mark.parametrize(
    ("holds", "namespaces", "expected"),
    [
        pytest.param([Hold.SOURCE], None, ["a", "e", "b"], id="one hold, anywhere"),
        pytest.param([Hold.SOURCE], ["shop"], ["a", "e"], id="one hold, one namespace"),
        pytest.param([Hold.SOURCE], ["bank", "shop"], ["b", "a", "e"], id="two namespaces"),
        pytest.param([Hold.SOURCE], ["none"], [], id="a namespace without any"),
        pytest.param([Hold.SOURCE], [], [], id="no namespace is not all"),
        pytest.param([Hold.DELAY], [""], ["d"], id="of no namespace"),
        pytest.param([Hold.GUARD, Hold.DELAY], None, ["c", "d"], id="two holds"),
        pytest.param([Hold.MODE], None, [], id="a hold that none has"),
    ],
)
def test_news_finds_what_is_held_so_and_there(
    holds: list[Hold], namespaces: list[str] | None, expected: list[str]
) -> None:
    """By hold and namespace."""
    assert list(held().waiting(holds, namespaces)) == expected


def test_all_may_be_freed_while_they_are_gone_through() -> None:
    """Each is met once, although freeing takes it away."""
    made = held()
    met = []
    for id_ in made.waiting(Hold):
        met.append(id_)
        made.enqueue(id_, Lane.URGENT, "shop")
    assert sorted(met) == ["a", "b", "c", "d", "e"]
    assert not made.held
    assert set(made.dirty) == {"a", "b", "c", "d", "e"}


def test_it_is_held_for_one_reason_at_a_time() -> None:
    """A new reason replaces the old one, in the counts too."""
    made = held()
    made.hold("a", Hold.GUARD, "shop")
    assert made.hold_of("a") is Hold.GUARD
    assert (made.count(Hold.SOURCE), made.count(Hold.GUARD), len(made)) == (2, 2, 5)
    made.hold("a", Hold.GUARD, "bank")
    assert list(made.waiting([Hold.GUARD], ["shop"])) == ["c"]
    made.mark_done("a")
    made.mark_done("a")
    assert made.hold_of("a") is None
    assert len(made) == 4


def test_what_is_held_is_not_dirty_and_the_other_way_round() -> None:
    """An id is in one place; whoever decides is told of each that is to be decided."""
    woken = Woken()
    made = Agenda(on_dirty=woken)
    assert made.enqueue("a", Lane.URGENT, "shop") is None
    made.hold("a", Hold.SOURCE, "shop")
    assert "a" not in made.dirty
    assert made.enqueue("a", Lane.URGENT, "shop") is Hold.SOURCE
    assert not made.held
    made.mark_done("a")
    assert not made.dirty
    assert woken.times == 2


def test_what_is_in_a_call_is_not_dirty() -> None:
    """From its launch until it lands, with the lane that it came from."""
    made = Agenda(on_dirty=lambda: None)
    made.enqueue("a", Lane.CHANGED, "shop")
    made.mark_in_flight("a", Lane.CHANGED)
    assert dict(made.in_flight) == {"a": Lane.CHANGED}
    assert not made.dirty
    made.mark_returned("a")
    assert not made.in_flight


def test_the_last_timer_counts() -> None:
    """An earlier one that was set before says nothing any more, and each is due once."""
    made = Agenda(on_dirty=lambda: None)
    made.set_timer("a", NOW)
    made.set_timer("a", NOW + 10)
    made.set_timer("b", NOW + 5)
    made.set_timer("b", NOW + 1)
    assert list(made.due(NOW - 1)) == []
    assert list(made.due(NOW + 9)) == ["b"]
    assert list(made.due(NOW + 10)) == ["a"]
    assert list(made.due(NOW + 100)) == []
    assert made.next_timer is None


def test_a_timer_may_be_set_again_for_the_same_time() -> None:
    """After it was due, by whoever was looked at too early."""
    made = Agenda(on_dirty=lambda: None)
    made.set_timer("a", NOW)
    made.set_timer("a", NOW)
    assert list(made.due(NOW)) == ["a"]
    made.set_timer("a", NOW)
    assert list(made.due(NOW)) == ["a"]


def test_what_is_forgotten_is_nowhere() -> None:
    """Neither held, nor dirty, nor due."""
    made = held()
    made.set_timer("a", NOW)
    made.enqueue("b", Lane.URGENT, "bank")
    made.forget("a")
    made.forget("b")
    assert set(made.held) == {"c", "d", "e"}
    assert not made.dirty
    assert list(made.due(NOW)) == []


def test_timers_that_count_no_more_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A finding that is put off a million times costs no memory, and is due at its last time."""
    monkeypatch.setattr(agenda, "TIMERS", 10)
    made = Agenda(on_dirty=lambda: None)
    for n in range(1_000):
        made.set_timer("a", NOW + n)
        made.set_timer("b", NOW + 2 * n)
    assert len(made._timers) <= 10 + 4 * 2
    assert list(made.due(NOW + 998)) == []
    assert list(made.due(NOW + 5_000)) == ["a", "b"]
