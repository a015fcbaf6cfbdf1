"""What each policy has reported on: counted by sets it is as looked at one by one; and it has an end."""

import gc
import random
from collections import defaultdict
from collections.abc import Collection, Iterable

import pytest

from policyhub.sources.violation import PolicyRef, Subject
from policyhub.sync import reported
from policyhub.sync.family import Families, Heard
from policyhub.sync.reported import HELD, LEARNED, NOBODY, Coverage, Reported

HEADS = [Subject("apps", "Deployment", "shop", name) for name in "ab"]
KINDS = {"Pod": "", "Job": "batch"}
PODS = [Subject(group, kind, "shop", f"p-{n}") for n in range(20) for kind, group in KINDS.items()]
POLICIES = [("kyverno", f"p-{n}") for n in range(7)] + [("trivy", "p-0")]


def policies(number: int, prefix: str = "p") -> frozenset[PolicyRef]:
    return frozenset(("kyverno", f"{prefix}-{n}") for n in range(number))


class Play:
    """Objects and reports, with each report looked at beside it, one by one."""

    def __init__(self, rng: random.Random, *, reports: int, most: int) -> None:
        self.rng = rng
        self.families = Families()
        self.heads: dict[Subject, Subject] = {}
        self.held: dict[Subject, list[tuple[Coverage, frozenset[PolicyRef]]]] = defaultdict(list)
        self._reports, self._most = reports, most

    def move(self) -> None:
        of = self.rng.choice(PODS)
        head = self.heads.pop(of, None)
        if head is not None:
            self.families.leave(of, head, 7)
        if head is None or self.rng.random() < 0.5:
            self.heads[of] = new = self.rng.choice(HEADS)
            self.families.join(of, new, 7)

    def report(self) -> None:
        of = self.rng.choice(PODS)
        if len(self.held[of]) < self.rng.randint(0, self._reports):
            by = frozenset(self.rng.sample(POLICIES, self.rng.randint(1, self._most)))
            self.held[of].append((self.families.reported.coverage("shop", by), by))
            self.families.record(of, self.held[of][-1][0], self.heads.get(of))
        elif self.held[of]:
            self.unreport(of)

    def unreport(self, of: Subject) -> None:
        spoken, _ = self.held[of].pop(self.rng.randrange(len(self.held[of])))
        self.families.withdraw(of, spoken, self.heads.get(of))

    def _heard(self, of: Subject, by: PolicyRef) -> bool:
        return any(by in said or (not by[1] and by[0] in dict(said)) for _, said in self.held[of])

    def compare(self, asked: Iterable[PolicyRef]) -> None:
        for by in asked:
            assert [self.families.is_reported(of, by) for of in PODS] == [self._heard(of, by) for of in PODS]
            for head in HEADS:
                for kind in KINDS:
                    members = (of for of, above in self.heads.items() if above == head and of.kind == kind)
                    unheard = any(not self._heard(of, by) for of in members)
                    assert self.families.unreported(head, by, {kind}) == unheard


@pytest.mark.parametrize("most", [1, 3, 8], ids="{} policies a report".format)
@pytest.mark.parametrize("reports", [1, 3, 14], ids="{} reports an object".format)
def test_counted_by_sets_it_is_as_looked_at_one_by_one(reports: int, most: int) -> None:
    """Objects come, go and move, and reports about them, in any order."""
    world = Play(random.Random(f"{reports} {most}"), reports=reports, most=most)  # noqa: S311  (the same each time)
    for step in range(1_500):
        world.move() if world.rng.random() < 0.3 else world.report()
        if step % 25 == 0:
            world.compare([*POLICIES, ("kyverno", ""), ("trivy", ""), ("falco", "")])
    for of in PODS:
        while world.held[of]:
            world.unreport(of)
    world.compare(POLICIES)
    for of, head in world.heads.items():
        world.families.leave(of, head, 7)
    assert (world.families._heard, world.families._families) == ({}, {})
    assert world.families.reported._namespaces["shop"].total == 0


class Counting(Families):
    """Counts the policies that are looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = 0

    def _whole(self, heard: Heard) -> Coverage | Collection[PolicyRef]:
        self.looked += sum(len(one.by) for one in heard) if isinstance(heard, tuple) else 0
        return super()._whole(heard)


class Name(str):
    """A policy's name that counts how often it is looked up."""

    __slots__ = ()
    looked = 0

    def __hash__(self) -> int:
        Name.looked += 1
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other)


@pytest.mark.parametrize("each", [1, 30], ids="{} policies each".format)
def test_many_reports_of_one_object_cost_what_each_says(each: int) -> None:
    """Twice as many reports of twice as many policies cost twice as much, to come and to go."""

    def cost(number: int) -> int:
        families, pod = Counting(), PODS[0]
        families.join(pod, HEADS[0], 7)
        sets = []
        Name.looked = 0
        for n in range(number):
            by = frozenset(("kyverno", Name(f"p-{n}-{m}")) for m in range(each))
            sets.append(families.reported.coverage("shop", by))
            families.record(pod, sets[-1], HEADS[0])
        families.leave(pod, HEADS[0], 7)
        families.join(pod, HEADS[0], 7)
        for spoken in sets:
            families.withdraw(pod, spoken, HEADS[0])
        return families.looked + Name.looked

    few = cost(400)
    assert few > 400 * each
    assert cost(800) < 2.5 * few


def test_objects_that_the_same_policies_report_on_share_one_set() -> None:
    """Whichever report says so; and it goes with the last of them."""
    made = Reported()
    one = made.coverage("shop", policies(40))
    assert made.coverage("team", policies(40)) is one
    assert made.union([one, one]) is one
    del one
    gc.collect()
    assert not made._sets


def test_what_is_learned_of_a_namespace_is_bounded() -> None:
    """Beyond the bound it begins anew with what is there now; no other namespace loses anything."""
    made = Reported()
    made.learn("shop", "Pod", made.coverage("shop", policies(3)))
    for number in range(10):
        made.learn("evil", "Pod", made.coverage("evil", policies(1_000, f"e{number}")))
        made.learn_passing("evil", policies(1_000, f"e{number}"))
    there = made._namespaces["evil"]
    assert len(there.kinds["Pod"].by) <= LEARNED
    assert len(there.passing.by) <= LEARNED
    assert made.kinds("evil", ("kyverno", "e9-7")) == {"Pod"}
    assert made.kinds("shop", ("kyverno", "p-2")) == {"Pod"}


def test_the_sets_of_a_namespace_are_bounded() -> None:
    """What is new beyond it counts as not reported on, until others are gone; no other namespace is concerned."""
    families = Families()
    made = families.reported
    pods = [Subject("", "Pod", "evil", f"p-{n}") for n in range(HELD // 1_000 + 5)]
    held = []
    for number, of in enumerate(pods):
        held.append(made.coverage("evil", policies(1_000, f"e{number}")))
        families.record(of, held[-1], None)
    assert made._namespaces["evil"].total <= HELD
    assert held[-1] is NOBODY
    assert not families.is_reported(pods[-1], ("kyverno", f"e{len(pods) - 1}-0"))
    assert made.coverage("shop", policies(5, "other")) is not NOBODY
    assert made.coverage("evil", policies(1_000, "e0")) is held[0], "what others have is shared"
    for of, spoken in zip(pods, held, strict=True):
        families.withdraw(of, spoken, None)
    assert made._namespaces["evil"].total == 0
    assert made.coverage("evil", policies(5, "other")) is not NOBODY


def test_namespaces_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first are forgotten; what objects there still hold is given back without harm."""
    monkeypatch.setattr(reported, "NAMESPACES", 3)
    families = Families()
    pods = [Subject("", "Pod", f"ns-{n}", "p") for n in range(5)]
    spoken = families.reported.coverage("ns-0", policies(3))
    for of in pods:
        families.record(of, spoken, None)
    assert len(families.reported._namespaces) == 3
    assert not families.reported.kinds("ns-0", ("kyverno", "p-0"))
    for of in pods:
        families.withdraw(of, spoken, None)
    assert not families._heard
