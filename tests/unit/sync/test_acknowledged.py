"""Acknowledgements outlive ledgers, for as long as they are recent."""

from hypothesis import given
from hypothesis import strategies as st

from policyhub.sync.acknowledged import RECENT_MS, Acknowledged
from policyhub.sync.entry import Known
from policyhub.sync.observed import ACK_OVERRULES_MS

NOW = 1_790_000_000_000


def known(updated_at: int, *, archived: bool = False) -> Known:
    return Known("digest", 1, updated_at, archived=archived)


def test_it_is_the_time_for_which_an_acknowledgement_overrules() -> None:
    assert RECENT_MS == ACK_OVERRULES_MS


def test_the_last_one_holds_for_a_quarter_of_an_hour() -> None:
    noted = Acknowledged()
    noted.note("a", known(1), NOW)
    noted.note("a", known(2, archived=True), NOW + 1000)
    assert noted.recent("a", NOW + 1000 + RECENT_MS) == known(2, archived=True)
    assert noted.moment("a") == NOW + 1000
    assert noted.recent("a", NOW + 1001 + RECENT_MS) is None
    assert noted.recent("b", NOW) is None
    assert noted.moment("b") == 0


def test_nothing_is_left_of_a_hub_that_was_switched_off() -> None:
    noted = Acknowledged()
    noted.note("a", known(1), NOW)
    noted.clear()
    assert noted.recent("a", NOW) is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, RECENT_MS)), max_size=60))
def test_no_more_is_kept_than_was_sent_lately(steps: list[tuple[str, int]]) -> None:
    """Whatever is noted and whenever: exactly the last acknowledgement of each id, and nothing that is older."""
    noted, now = Acknowledged(), NOW
    model: dict[str, tuple[int, int]] = {}
    for number, (id_, later) in enumerate(steps):
        now += later
        noted.note(id_, known(number), now)
        model[id_] = (number, now)
        recent = {id_: number for id_, (number, at) in model.items() if now - at <= RECENT_MS}
        assert len(noted) == len(recent)
        found = {id_: noted.recent(id_, now) for id_ in "abcdef"}
        assert {id_: each.updated_at for id_, each in found.items() if each is not None} == recent
    noted.prune(now + RECENT_MS + 1)
    assert not noted
