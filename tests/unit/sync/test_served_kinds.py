"""Kinds that anybody can name: few requests for one namespace, and none waits for another."""

import pytest

from policyhub.clock import SteadyMs
from policyhub.model.violation import Subject
from policyhub.sync.served_kinds import MAX_UNPROVEN, RECHECK_MS, RETRY_MS, Key, ServedKinds

NOW = SteadyMs(1_790_000_000_000)


def name(served: ServedKinds, namespace: str, number: int, *, kind: str = "Fantasy") -> Key:
    key = (f"{namespace}-{number}.example.com", "v1", kind)
    served.use(key, Subject(key[0], kind, namespace, "w"))
    return key


@pytest.mark.parametrize("namespaces", [1, 32, 400])
def test_no_namespace_displaces_another(namespaces: int) -> None:
    """Whatever number of namespaces invent kinds, discovery is asked for a kind of another namespace in its turn."""
    served = ServedKinds()
    for namespace in range(namespaces):
        for number in range(50):
            name(served, f"evil-{namespace}", number)
    key = name(served, "shop", 1, kind="Rollout")
    asked = 0
    while served.is_served(key) is None:
        next_group_version = served.next_group_version(NOW)
        assert next_group_version is not None
        served.record_kinds(
            *next_group_version, frozenset({"Rollout"}) if next_group_version[0] == key[0] else frozenset(), now=NOW
        )
        asked += 1
    assert served.is_served(key)
    assert asked <= namespaces + 1


def test_a_namespace_takes_only_its_own_slots() -> None:
    """Further kinds count as not served until a slot of its own is free."""
    served = ServedKinds()
    keys = [name(served, "evil", number) for number in range(MAX_UNPROVEN + 2)]
    asked = set()
    while (next_group_version := served.next_group_version(NOW)) is not None:
        asked.add(next_group_version[0])
        served.record_kinds(*next_group_version, frozenset(), now=NOW)
    assert asked == {key[0] for key in keys[:MAX_UNPROVEN]}
    assert [served.is_served(key) for key in keys] == [False] * len(keys)
    served.drop(keys[0], Subject(keys[0][0], "Fantasy", "evil", "w"))
    assert served.next_group_version(NOW) == keys[MAX_UNPROVEN][:2]


def test_turns_end_with_their_kinds() -> None:
    """Nothing is remembered of namespaces that name nothing; proven kinds share one turn."""
    served = ServedKinds()
    for namespace in range(50):
        key = name(served, f"ns-{namespace}", 1)
        assert served.next_group_version(NOW) == key[:2]
        served.record_kinds(*key[:2], frozenset({"Fantasy"}) if namespace % 2 else None, now=NOW)
        if namespace % 2 == 0:
            served.drop(key, Subject(key[0], key[2], f"ns-{namespace}", "w"))
    assert len(served) == 25
    keys = [name(served, "shop", number) for number in range(3)]
    later, asked = NOW + max(RECHECK_MS, RETRY_MS), []
    for _ in range(6):
        next_group_version = served.next_group_version(later)
        assert next_group_version is not None
        asked.append(next_group_version)
        served.record_kinds(*next_group_version, frozenset({"Fantasy"}), now=later)
    assert {key[:2] for key in keys} <= set(asked)
    assert len(served._last_asked) <= 2
