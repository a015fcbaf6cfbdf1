"""On what each policy has reported: counting by set gives the same as counting one by one, and memory is bounded."""

import gc
import random
from collections import defaultdict
from collections.abc import Collection, Iterable

import pytest

from policyhub.model.violation import PolicyRef, Subject
from policyhub.sync import reported
from policyhub.sync.reported import MAX_HELD, MAX_LEARNED, NO_POLICIES, PolicySet, Reported
from policyhub.sync.rollup_members import ReportedBy, RollupMembers

TARGETS = [Subject("apps", "Deployment", "shop", name) for name in "ab"]
KINDS = {"Pod": "", "Job": "batch"}
PODS = [Subject(group, kind, "shop", f"p-{n}") for n in range(20) for kind, group in KINDS.items()]
POLICIES = [("kyverno", f"p-{n}") for n in range(7)] + [("trivy", "p-0")]


def kyverno_policies(number: int, prefix: str = "p") -> frozenset[PolicyRef]:
    return frozenset(("kyverno", f"{prefix}-{n}") for n in range(number))


class Play:
    """Random objects and reports, with every report also kept one by one for comparison."""

    def __init__(self, rng: random.Random, *, reports: int, most: int) -> None:
        self.rng = rng
        self.members = RollupMembers()
        self.targets: dict[Subject, Subject] = {}
        self.held: dict[Subject, list[tuple[PolicySet, frozenset[PolicyRef]]]] = defaultdict(list)
        self._reports, self._most = reports, most

    def move(self) -> None:
        of = self.rng.choice(PODS)
        target = self.targets.pop(of, None)
        if target is not None:
            self.members.leave(of, target, 7)
        if target is None or self.rng.random() < 0.5:
            self.targets[of] = new = self.rng.choice(TARGETS)
            self.members.join(of, new, 7)

    def report(self) -> None:
        of = self.rng.choice(PODS)
        if len(self.held[of]) < self.rng.randint(0, self._reports):
            by = frozenset(self.rng.sample(POLICIES, self.rng.randint(1, self._most)))
            self.held[of].append((self.members.reported.policy_set("shop", by), by))
            self.members.record(of, self.held[of][-1][0], self.targets.get(of))
        elif self.held[of]:
            self.unreport(of)

    def unreport(self, of: Subject) -> None:
        policies, _ = self.held[of].pop(self.rng.randrange(len(self.held[of])))
        self.members.withdraw(of, policies, self.targets.get(of))

    def _is_reported(self, of: Subject, by: PolicyRef) -> bool:
        return any(by in policies or (not by[1] and by[0] in dict(policies)) for _, policies in self.held[of])

    def compare(self, asked: Iterable[PolicyRef]) -> None:
        for by in asked:
            assert [self.members.is_reported(of, by) for of in PODS] == [self._is_reported(of, by) for of in PODS]
            for target in TARGETS:
                for kind in KINDS:
                    members = (of for of, above in self.targets.items() if above == target and of.kind == kind)
                    unreported = any(not self._is_reported(of, by) for of in members)
                    assert self.members.unreported(target, by, {kind}) == unreported


@pytest.mark.parametrize("most", [1, 3, 8], ids="{} policies a report".format)
@pytest.mark.parametrize("reports", [1, 3, 14], ids="{} reports an object".format)
def test_counting_by_set_gives_the_same_as_counting_one_by_one(reports: int, most: int) -> None:
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
    for of, target in world.targets.items():
        world.members.leave(of, target, 7)
    assert (world.members._reported_by, world.members._by_target) == ({}, {})
    assert world.members.reported._namespaces["shop"].total == 0


class Counting(RollupMembers):
    """Counts the policies that are visited."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = 0

    def _policies_of(self, reported_by: ReportedBy) -> PolicySet | Collection[PolicyRef]:
        self.looked += sum(len(one.by) for one in reported_by) if isinstance(reported_by, tuple) else 0
        return super()._policies_of(reported_by)


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
def test_many_reports_of_one_object_cost_what_each_contains(each: int) -> None:
    """Twice as many reports of twice as many policies cost twice as much, to come and to go."""

    def cost(number: int) -> int:
        members, pod = Counting(), PODS[0]
        members.join(pod, TARGETS[0], 7)
        sets = []
        Name.looked = 0
        for n in range(number):
            by = frozenset(("kyverno", Name(f"p-{n}-{m}")) for m in range(each))
            sets.append(members.reported.policy_set("shop", by))
            members.record(pod, sets[-1], TARGETS[0])
        members.leave(pod, TARGETS[0], 7)
        members.join(pod, TARGETS[0], 7)
        for policies in sets:
            members.withdraw(pod, policies, TARGETS[0])
        return members.looked + Name.looked

    few = cost(400)
    assert few > 400 * each
    assert cost(800) < 2.5 * few


def test_objects_that_the_same_policies_report_on_share_one_set() -> None:
    """Whichever report names them; the set is freed with the last of them."""
    made = Reported()
    one = made.policy_set("shop", kyverno_policies(40))
    assert made.policy_set("team", kyverno_policies(40)) is one
    assert made.union([one, one]) is one
    del one
    gc.collect()
    assert not made._sets


def test_what_is_learned_of_a_namespace_is_bounded() -> None:
    """Beyond the bound it starts again with what exists now; no other namespace loses anything."""
    made = Reported()
    made.learn("shop", "Pod", made.policy_set("shop", kyverno_policies(3)))
    for number in range(10):
        made.learn("evil", "Pod", made.policy_set("evil", kyverno_policies(1_000, f"e{number}")))
        made.learn_passing("evil", kyverno_policies(1_000, f"e{number}"))
    there = made._namespaces["evil"]
    assert len(there.kinds["Pod"].by) <= MAX_LEARNED
    assert len(there.passing.by) <= MAX_LEARNED
    assert made.kinds("evil", ("kyverno", "e9-7")) == {"Pod"}
    assert made.kinds("shop", ("kyverno", "p-2")) == {"Pod"}


def test_the_sets_of_a_namespace_are_bounded() -> None:
    """Beyond the bound a new set counts as not reported on until others are freed; other namespaces are unaffected."""
    members = RollupMembers()
    made = members.reported
    pods = [Subject("", "Pod", "evil", f"p-{n}") for n in range(MAX_HELD // 1_000 + 5)]
    held = []
    for number, of in enumerate(pods):
        held.append(made.policy_set("evil", kyverno_policies(1_000, f"e{number}")))
        members.record(of, held[-1], None)
    assert made._namespaces["evil"].total <= MAX_HELD
    assert held[-1] is NO_POLICIES
    assert not members.is_reported(pods[-1], ("kyverno", f"e{len(pods) - 1}-0"))
    assert made.policy_set("shop", kyverno_policies(5, "other")) is not NO_POLICIES
    assert made.policy_set("evil", kyverno_policies(1_000, "e0")) is held[0], "what others have is shared"
    for of, policies in zip(pods, held, strict=True):
        members.withdraw(of, policies, None)
    assert made._namespaces["evil"].total == 0
    assert made.policy_set("evil", kyverno_policies(5, "other")) is not NO_POLICIES


def test_namespaces_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten; releasing their sets later does no harm."""
    monkeypatch.setattr(reported, "MAX_NAMESPACES", 3)
    members = RollupMembers()
    pods = [Subject("", "Pod", f"ns-{n}", "p") for n in range(5)]
    policies = members.reported.policy_set("ns-0", kyverno_policies(3))
    for of in pods:
        members.record(of, policies, None)
    assert len(members.reported._namespaces) == 3
    assert not members.reported.kinds("ns-0", ("kyverno", "p-0"))
    for of in pods:
        members.withdraw(of, policies, None)
    assert not members._reported_by
