"""When findings are decided, and which are held."""

import pytest

from policyhub.clock import SteadyMs
from policyhub.sync import agenda
from policyhub.sync.agenda import Agenda
from policyhub.sync.holds import Hold
from policyhub.sync.lanes import Lane

NOW = SteadyMs(1_790_000_000_000)


class Woken:
    """Counts the calls of `on_dirty`."""

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
        pytest.param([Hold.DELAY], [""], ["d"], id="cluster-scoped"),
        pytest.param([Hold.GUARD, Hold.DELAY], None, ["c", "d"], id="two holds"),
        pytest.param([Hold.MODE], None, [], id="an unused hold"),
    ],
)
def test_an_event_finds_held_findings(holds: list[Hold], namespaces: list[str] | None, expected: list[str]) -> None:
    """By hold and namespace."""
    assert list(held().waiting(holds, namespaces)) == expected


def test_holds_may_be_released_during_iteration() -> None:
    """Each id is visited once, although its release removes it."""
    made = held()
    met = []
    for id_ in made.waiting(Hold):
        met.append(id_)
        made.enqueue(id_, Lane.URGENT, "shop")
    assert sorted(met) == ["a", "b", "c", "d", "e"]
    assert not made.held
    assert set(made.dirty) == {"a", "b", "c", "d", "e"}


def test_a_finding_has_one_hold_at_a_time() -> None:
    """A new hold replaces the former one, also in the counts."""
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


def test_a_finding_is_either_held_or_dirty() -> None:
    """An id is in one place; `on_dirty` is called for each dirty finding."""
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


def test_a_finding_in_flight_is_not_dirty() -> None:
    """From the start of its call to the end, with the lane that it came from."""
    made = Agenda(on_dirty=lambda: None)
    made.enqueue("a", Lane.CHANGED, "shop")
    made.mark_in_flight("a", Lane.CHANGED)
    assert dict(made.in_flight) == {"a": Lane.CHANGED}
    assert not made.dirty
    made.mark_returned("a")
    assert not made.in_flight


def test_the_last_timer_counts() -> None:
    """A former, earlier timer no longer counts, and each timer is due once."""
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
    """After it was due: an item that is processed too early sets it again."""
    made = Agenda(on_dirty=lambda: None)
    made.set_timer("a", NOW)
    made.set_timer("a", NOW)
    assert list(made.due(NOW)) == ["a"]
    made.set_timer("a", NOW)
    assert list(made.due(NOW)) == ["a"]


def test_a_forgotten_finding_is_nowhere() -> None:
    """It is not held, not dirty and not due."""
    made = held()
    made.set_timer("a", NOW)
    made.enqueue("b", Lane.URGENT, "bank")
    made.forget("a")
    made.forget("b")
    assert set(made.held) == {"c", "d", "e"}
    assert not made.dirty
    assert list(made.due(NOW)) == []


def test_outdated_timers_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A finding that is postponed a million times costs no memory, and is due at its last time."""
    monkeypatch.setattr(agenda, "SPARE_TIMERS", 10)
    made = Agenda(on_dirty=lambda: None)
    for n in range(1_000):
        made.set_timer("a", NOW + n)
        made.set_timer("b", NOW + 2 * n)
    assert len(made._timers) <= 10 + 4 * 2
    assert list(made.due(NOW + 998)) == []
    assert list(made.due(NOW + 5_000)) == ["a", "b"]
