"""What goes out first."""

from policyhub.sync.lanes import Dirty, Lane


def test_lanes_are_served_in_order_and_ids_in_theirs() -> None:
    """Urgent before changed before backlog before refresh; within a lane the first comes first."""
    dirty = Dirty()
    for id_, lane in (("r", Lane.REFRESH), ("b", Lane.BACKLOG), ("u2", Lane.URGENT), ("c", Lane.CHANGED), ("u1", 0)):
        dirty.add(id_, Lane(lane))
    assert list(dirty) == ["u2", "u1", "c", "b", "r"]
    assert len(dirty) == 5


def test_an_id_keeps_its_place_unless_it_changes_lanes() -> None:
    """What is dirty again does not go to the end; what has become urgent overtakes."""
    dirty = Dirty()
    for id_ in ("a", "b", "c"):
        dirty.add(id_, Lane.BACKLOG)
    dirty.add("a", Lane.BACKLOG)
    dirty.add("c", Lane.URGENT)
    assert list(dirty) == ["c", "a", "b"]
    dirty.discard("a")
    dirty.discard("nobody")
    assert list(dirty) == ["c", "b"]
    assert "a" not in dirty
    dirty.clear()
    assert not dirty
    assert not list(dirty.queue(Lane.URGENT))
