"""The order in which findings are sent."""

from policyhub.sync.lanes import Dirty, Lane, Queue, RoundRobin


def test_lanes_are_served_in_order_and_ids_in_theirs() -> None:
    """Urgent before changed before backlog before refresh; within a lane the first comes first."""
    dirty = Dirty()
    for id_, lane in (("r", Lane.REFRESH), ("b", Lane.BACKLOG), ("u2", Lane.URGENT), ("c", Lane.CHANGED), ("u1", 0)):
        dirty.add(id_, Lane(lane))
    assert list(dirty) == ["u2", "u1", "c", "b", "r"]
    assert len(dirty) == 5


def test_an_id_keeps_its_place_unless_it_changes_lanes() -> None:
    """An id that is queued again keeps its position; one that has become urgent overtakes."""
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


def test_namespaces_take_turns() -> None:
    """A namespace with thousands of findings and one with a single finding get the same share."""
    dirty = Dirty()
    for number in range(5_000):
        dirty.add(f"a{number}", Lane.URGENT, "team-a")
    dirty.add("s", Lane.URGENT, "shop")
    dirty.add("b", Lane.URGENT, "bank")
    urgent = dirty.queue(Lane.URGENT)
    assert set(urgent.take(4)) >= {"s", "b"}
    assert len(urgent.take(10_000)) == len(urgent) == 5_002
    dirty.discard("s")
    assert set(urgent.take(2)) == {"b", "a0"}


def test_no_namespace_is_always_first() -> None:
    """Where a request has no room for all namespaces, the next one continues where this one ended."""
    turns = RoundRobin()
    for number in range(10):
        turns.add(f"i{number}", f"n{number}")
    seen = [id_ for _ in range(5) for id_ in turns.take(4)]
    assert set(seen[:12]) == {f"i{number}" for number in range(10)}
    assert not RoundRobin().take(5)


def test_a_queue_holds_each_id_once() -> None:
    """An id that was taken is no longer queued; an id that is queued keeps its turn."""
    queue = Queue()
    for id_, namespace in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("a1", "a")):
        queue.add(id_, namespace)
    assert len(queue) == 3
    assert set(queue.take(2)) == {"a1", "b1"}
    assert list(queue) == ["a2"]
    queue.discard("a2")
    queue.discard("nobody")
    assert not queue
