"""Kinds that anybody can name: one namespace is asked for few, and none waits for another."""

import pytest

from policyhub.clock import SteadyMs
from policyhub.sources.violation import Subject
from policyhub.sync.served import AGAIN_MS, MOST_EACH, RETRY_MS, Key, Served

NOW = SteadyMs(1_790_000_000_000)


def name(served: Served, namespace: str, number: int, *, kind: str = "Fantasy") -> Key:
    key = (f"{namespace}-{number}.example.com", "v1", kind)
    served.use(key, Subject(key[0], kind, namespace, "w"))
    return key


@pytest.mark.parametrize("namespaces", [1, 32, 400])
def test_nobody_pushes_others_out(namespaces: int) -> None:
    """However many namespaces name as many fantasies as they like, a kind of another is asked for in its turn."""
    served = Served()
    for namespace in range(namespaces):
        for number in range(50):
            name(served, f"evil-{namespace}", number)
    key = name(served, "shop", 1, kind="Rollout")
    asked = 0
    while served.verdict(key) is None:
        question = served.question(NOW)
        assert question is not None
        served.answer(*question, frozenset({"Rollout"}) if question[0] == key[0] else frozenset(), now=NOW)
        asked += 1
    assert served.verdict(key)
    assert asked <= namespaces + 1


def test_one_namespace_takes_its_places_only() -> None:
    """Beyond them its kinds are none, until one of its own is free."""
    served = Served()
    keys = [name(served, "evil", number) for number in range(MOST_EACH + 2)]
    asked = set()
    while (question := served.question(NOW)) is not None:
        asked.add(question[0])
        served.answer(*question, frozenset(), now=NOW)
    assert asked == {key[0] for key in keys[:MOST_EACH]}
    assert [served.verdict(key) for key in keys] == [False] * len(keys)
    served.drop(keys[0], Subject(keys[0][0], "Fantasy", "evil", "w"))
    assert served.question(NOW) == keys[MOST_EACH][:2]


def test_turns_end_with_their_kinds() -> None:
    """Nothing is remembered of namespaces that name nothing; proven kinds take their turn as one."""
    served = Served()
    for namespace in range(50):
        key = name(served, f"ns-{namespace}", 1)
        assert served.question(NOW) == key[:2]
        served.answer(*key[:2], frozenset({"Fantasy"}) if namespace % 2 else None, now=NOW)
        if namespace % 2 == 0:
            served.drop(key, Subject(key[0], key[2], f"ns-{namespace}", "w"))
    assert len(served) == 25
    keys = [name(served, "shop", number) for number in range(3)]
    later, asked = NOW + max(AGAIN_MS, RETRY_MS), []
    for _ in range(6):
        question = served.question(later)
        assert question is not None
        asked.append(question)
        served.answer(*question, frozenset({"Fantasy"}), now=later)
    assert {key[:2] for key in keys} <= set(asked)
    assert len(served._asked) <= 2
