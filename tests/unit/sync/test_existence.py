"""Which lookups are sent when, and the effect of answers and refusals."""

from collections import Counter

import pytest

from policyhub.clock import SteadyMs, WallMs
from policyhub.model.policy_apis import ASKED_POLICIES
from policyhub.model.violation import Subject
from policyhub.sync.existence import (
    ANSWER_TTL_MS,
    LIST_FROM,
    MAX_ANSWERS,
    OTHER_KINDS,
    POLICY_LISTING_INTERVAL_MS,
    REFUSAL_CONFIRM_MS,
    UNKNOWN_RETRY_MS,
    WATCHED_KINDS,
    Answer,
    Batch,
    Existence,
    FoundObject,
    PolicyName,
    Presence,
    Referent,
)

START = SteadyMs(1_000_000)
ABSENT, PRESENT, UNKNOWN = Presence.ABSENT, Presence.PRESENT, Presence.UNKNOWN


def pod(name: str, namespace: str = "shop") -> Subject:
    return Subject("", "Pod", namespace, name)


class Rig:
    """Lookups, and an API server with given objects."""

    def __init__(self) -> None:
        self.now = START
        self.answered: list[Referent] = []
        self.existence = Existence(now=lambda: self.now, on_answer=self.answered.append)

    def subject(self, of: Subject, since: SteadyMs = START) -> Answer | None:
        return self.existence.subject(of, since=since)

    def policy(self, name: str, source: str = "kyverno", since: SteadyMs = START) -> Answer | None:
        return self.existence.policy(source, name, since=since)

    def batch(self) -> Batch:
        batch = self.existence.next_batch()
        assert batch is not None
        return batch

    def reply(self, *there: Referent, whole: bool = True, asked: SteadyMs | None = None) -> Batch:
        """Answer the next batch: these exist."""
        batch = self.batch()
        found = {referent: FoundObject("u", WallMs(7)) for referent in there}
        self.existence.answer(batch, found, asked=self.now if asked is None else asked, complete=whole)
        self.existence.release(batch)
        return batch

    def refuse(self, *resources: str) -> None:
        batch = self.batch()
        self.existence.refuse(batch, asked=self.now, resources=resources)
        self.existence.release(batch)

    def fail(self, *, retry_after: float | None = None, everything: bool = False) -> int:
        """Time until the next batch is due."""
        batch = self.batch()
        self.existence.fail(batch, retry_after=retry_after, everything=everything)
        self.existence.release(batch)
        due = self.existence.next_due()
        assert due is not None
        return due - self.now

    def drain(self) -> list[Batch]:
        """All batches that are due now."""
        batches: list[Batch] = []
        while (batch := self.existence.next_batch()) is not None:
            batches.append(batch)
            self.existence.answer(batch, {}, asked=self.now, complete=True)
            self.existence.release(batch)
        return batches


@pytest.fixture
def rig() -> Rig:
    return Rig()


# -- answers ----------------------------------------------------------------------------------------------------------


def test_present_and_absent_objects(rig: Rig) -> None:
    """Repeated lookups are sent once; `on_answer` is called, and then the answer is available."""
    assert [rig.subject(pod("a")), rig.subject(pod("a")), rig.subject(pod("b"))] == [None] * 3
    rig.reply(pod("a"))
    rig.now += 5
    rig.reply()
    assert rig.answered == [pod("a"), pod("b")]
    assert rig.subject(pod("a")) == Answer(PRESENT, START, WallMs(7), "u", START)
    assert rig.subject(pod("b")) == Answer(ABSENT, START + 5, answered_at=START + 5)
    assert rig.existence.next_batch() is None
    assert (rig.existence.waiting, rig.existence.next_due()) == (0, None)


def test_an_answer_from_before_the_loss_does_not_count(rig: Rig) -> None:
    """If its request began before `since`, the lookup is sent again, also if the request was in flight."""
    rig.subject(pod("a"), since=START)
    rig.reply(pod("a"))
    assert rig.subject(pod("a"), since=START + 1) is None
    rig.now += 10
    batch = rig.batch()
    assert rig.subject(pod("a"), since=START + 20) is None
    rig.existence.answer(batch, {}, asked=START + 10, complete=True)
    rig.existence.release(batch)
    assert rig.answered == [pod("a")]
    rig.now += 20
    rig.reply()
    assert rig.answered == [pod("a"), pod("a")]
    assert rig.subject(pod("a"), since=START + 20) == Answer(ABSENT, START + 30, answered_at=START + 30)


def test_answers_are_forgotten(rig: Rig) -> None:
    """After their time to live, and beyond the maximum: then a lookup is sent again."""
    rig.subject(pod("a"))
    rig.reply(pod("a"))
    rig.now += ANSWER_TTL_MS
    rig.existence.next_batch()
    assert rig.subject(pod("a")) is None
    rig.drain()
    for number in range(MAX_ANSWERS + 5):
        rig.subject(pod(f"p{number}"), since=rig.now)
    rig.drain()
    rig.existence.next_batch()
    kept = sum(rig.subject(pod(f"p{number}"), since=rig.now) is not None for number in range(MAX_ANSWERS + 5))
    assert kept == MAX_ANSWERS


def test_the_latest_since_decides(rig: Rig) -> None:
    """An answer that is too old for one caller does not end the lookup for it, although it suffices for another."""
    rig.subject(pod("a"), since=START + 10)
    rig.subject(pod("a"), since=START)
    rig.reply(pod("a"), asked=START + 5)
    assert rig.answered == []
    rig.now += 10
    rig.reply(pod("a"))
    assert rig.answered == [pod("a")]


# -- what is asked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "batches"),
    [(1, [1]), (LIST_FROM - 1, [1] * (LIST_FROM - 1)), (LIST_FROM, [LIST_FROM]), (5_000, [5_000])],
)
def test_many_are_one_listing(rig: Rig, number: int, batches: list[int]) -> None:
    """Fewer than `LIST_FROM` objects of a kind and namespace are read one by one, more by one listing."""
    for n in range(number):
        rig.subject(pod(f"p{n}"))
    asked = rig.drain()
    assert [len(batch.referents) for batch in asked] == batches
    assert {batch.listing for batch in asked} == {number >= LIST_FROM}
    assert len(rig.answered) == number


def test_a_listing_with_an_unreadable_name(rig: Rig) -> None:
    """If a listing has a name that cannot be read, the objects that it lacks are read one by one."""
    for n in range(LIST_FROM + 1):
        rig.subject(pod(f"p{n}"))
    batch = rig.batch()
    rig.existence.answer(batch, {pod("p0"): FoundObject("u")}, asked=rig.now, complete=False)
    rig.existence.mark_unlistable(batch)
    rig.existence.release(batch)
    assert rig.answered == [pod("p0")]
    assert [(len(batch.referents), batch.listing) for batch in rig.drain()] == [(1, False)] * LIST_FROM


def test_an_incomplete_listing_proves_presence_only(rig: Rig) -> None:
    """Objects on it exist; the lookups of others stay pending."""
    referents = [pod(f"p{n}") for n in range(LIST_FROM + 1)]
    for referent in referents:
        rig.subject(referent)
    rig.reply(referents[0], whole=False)
    assert rig.answered == referents[:1]
    assert [rig.subject(referent) for referent in referents[1:]] == [None] * LIST_FROM


def test_namespaces_take_turns(rig: Rig) -> None:
    """Ten thousand lookups of kinds that are not served delay those of another namespace by one."""
    for n in range(10_000):
        rig.subject(Subject("fantasy.example", f"Kind{n}", "evil", "x"))
    rig.subject(pod("a", "shop"))
    first = [rig.batch().scope.namespace for _ in range(2)]
    assert first == ["evil", "shop"]


def test_one_listing_of_a_scope_at_a_time(rig: Rig) -> None:
    """New lookups wait for its end."""
    for n in range(LIST_FROM):
        rig.subject(pod(f"p{n}"))
    batch = rig.batch()
    rig.subject(pod("late"))
    assert rig.existence.next_batch() is None
    rig.existence.answer(batch, {}, asked=rig.now, complete=True)
    rig.existence.release(batch)
    assert rig.batch().referents == (pod("late"),)


def test_released_lookups_are_sent_again(rig: Rig) -> None:
    """The end of a connection loses no lookup."""
    rig.subject(pod("a"))
    batch = rig.batch()
    assert rig.existence.next_batch() is None
    rig.existence.release(batch)
    assert rig.batch().referents == batch.referents


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(Subject("", "Secret", "shop", "a"), id="a Secret"),
        pytest.param(Subject("", "", "shop", "a"), id="no kind"),
        pytest.param(Subject("", "Pod", "shop", "a/b"), id="a path"),
        pytest.param(Subject("", "Pod", "shop", ".."), id="the path above"),
        pytest.param(Subject("", "Pod", "shop", "a b"), id="a blank"),
        pytest.param(Subject("", "Pod", "shop", "a%2fb"), id="an escape"),
        pytest.param(Subject("", "Pod", "../x", "a"), id="an invalid namespace"),
        pytest.param(Subject("a/b", "Pod", "shop", "a"), id="an invalid group"),
        pytest.param(Subject("", "Pod/log", "shop", "a"), id="an invalid kind"),
        pytest.param(Subject("", "Pod", "shop", ""), id="no name"),
    ],
)
def test_what_is_never_looked_up(rig: Rig, subject: Subject) -> None:
    """Secrets, and names that no object can have: UNKNOWN at once, without a request."""
    assert rig.subject(subject) == Answer(UNKNOWN, START, answered_at=START)
    assert rig.existence.next_batch() is None


# -- policies ---------------------------------------------------------------------------------------------------------

KW = "policies.kubewarden.io"


@pytest.mark.parametrize(
    ("source", "policy", "resources"),
    [
        ("kyverno", "disallow-latest", ["clusterpolicies.kyverno.io"]),
        ("kyverno", "shop/disallow-latest", ["policies.kyverno.io"]),
        ("KyvernoValidatingPolicy", "a", ["validatingpolicies.policies.kyverno.io"]),
        ("KyvernoValidatingPolicy", "n/a", ["namespacedvalidatingpolicies.policies.kyverno.io"]),
        ("ValidatingAdmissionPolicy", "a", ["validatingadmissionpolicies.admissionregistration.k8s.io"]),
        ("kubewarden", "clusterwide-a", [f"clusteradmissionpolicies.{KW}"]),
        ("kubewarden", "clusterwide-group-a", [f"clusteradmissionpolicies.{KW}", f"clusteradmissionpolicygroups.{KW}"]),
        ("kubewarden", "namespaced-a-b-c", [f"admissionpolicies.{KW}"]),
        ("kubewarden", "namespaced-group-a-b", [f"admissionpolicies.{KW}", f"admissionpolicygroups.{KW}"]),
        ("kubewarden", "a", []),
        ("kyverno", "a/b/c", []),
        ("kyverno", "", []),
        ("Trivy ConfigAudit", "a", []),
        ("gatekeeper", "k8srequiredlabels", []),
        ("anything", "a", []),
    ],
)
def test_the_kinds_that_a_policy_can_have(rig: Rig, source: str, policy: str, resources: list[str]) -> None:
    """A source without policy objects, and a name that none of its kinds can have, are UNKNOWN at once."""
    answer = rig.policy(policy, source)
    batch = rig.existence.next_batch()
    assert (answer is None) == (batch is not None) == bool(resources)
    assert list(batch.scope.resources if batch else ()) == resources


def test_policies_are_listed(rig: Rig) -> None:
    """Lookups of the same kinds share one listing, and there is a minimum time until the next."""
    for n in range(300):
        rig.policy(f"p{n}")
    batch = rig.reply(PolicyName("kyverno", "p1"))
    assert (batch.listing, len(batch.referents)) == (True, 300)
    assert (rig.policy("p1"), rig.policy("p2")) == (
        Answer(PRESENT, START, WallMs(7), "u", START),
        Answer(ABSENT, START, answered_at=START),
    )
    rig.policy("p1", since=START + 1)
    rig.policy("p2", since=START + 1)
    batch = rig.batch()
    rig.policy("p3", since=START + 1)
    rig.existence.answer(batch, {}, asked=START + 1, complete=True)
    rig.existence.release(batch)
    assert rig.existence.next_batch() is None
    assert rig.existence.next_due() == START + POLICY_LISTING_INTERVAL_MS


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_a_repeated_refusal_is_accepted(rig: Rig) -> None:
    """Then all lookups of the scope are UNKNOWN; later they are sent again."""
    rig.subject(pod("a"))
    rig.refuse("pods")
    assert (rig.answered, rig.existence.forbidden) == ([], [])
    assert rig.existence.next_batch() is None
    rig.now += REFUSAL_CONFIRM_MS
    rig.subject(pod("b"))
    rig.refuse("pods")
    assert rig.answered == [pod("a"), pod("b")]
    unknown = rig.subject(pod("a"), since=rig.now)
    assert unknown is not None
    assert (unknown.presence, rig.existence.forbidden) == (UNKNOWN, ["pods"])
    assert rig.subject(pod("a", "other")) is None
    assert rig.batch().scope.namespace == "other"
    rig.now += UNKNOWN_RETRY_MS
    assert rig.subject(pod("a"), since=rig.now) is None
    rig.refuse("pods")
    assert (rig.answered[2:], rig.existence.forbidden) == ([], ["pods"])
    rig.now += REFUSAL_CONFIRM_MS
    rig.reply(pod("a"))
    assert (rig.answered[2:], rig.existence.forbidden) == ([pod("a")], [])


def test_a_refusal_that_is_not_repeated(rig: Rig) -> None:
    """An API server refuses while it starts, and then answers: nothing was UNKNOWN."""
    rig.subject(pod("a"))
    rig.refuse("pods")
    rig.now += REFUSAL_CONFIRM_MS
    rig.reply(pod("a"))
    assert rig.answered == [pod("a")]
    rig.subject(pod("a"), since=rig.now + 1)
    rig.now += 1
    rig.refuse("pods")
    assert rig.existence.forbidden == []
    assert rig.answered == [pod("a")]


def test_a_kind_that_is_not_served_is_not_forbidden(rig: Rig) -> None:
    """It is UNKNOWN, and no permission is missing."""
    rig.subject(Subject("fantasy.example", "Unicorn", "shop", "a"))
    rig.refuse()
    rig.now += REFUSAL_CONFIRM_MS
    rig.refuse()
    assert (len(rig.answered), rig.existence.forbidden) == (1, [])


def test_an_old_refusal_is_not_reported(rig: Rig) -> None:
    """A permission that is no longer needed is not reported as missing."""
    rig.subject(pod("a"))
    rig.refuse("pods")
    rig.now += REFUSAL_CONFIRM_MS
    rig.refuse("pods")
    rig.now += 2 * UNKNOWN_RETRY_MS
    assert rig.existence.forbidden == []


# -- failures ---------------------------------------------------------------------------------------------------------


def test_failures_wait_longer_each_time(rig: Rig) -> None:
    """Up to a minute, and never less than Retry-After; a success resets it."""
    rig.subject(pod("a"))
    waits = []
    for _ in range(8):
        waits.append(rig.fail())
        rig.now += waits[-1]
    assert waits == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]
    assert rig.subject(pod("a")) is None
    rig.subject(pod("b"))
    rig.reply(pod("a"))
    assert rig.fail() == 1_000
    rig.now += 1_000
    assert rig.fail(retry_after=5) == 5_000


def test_a_group_that_fails_delays_only_itself(rig: Rig) -> None:
    """An aggregated API that is down does not delay others; an overloaded server gets no requests at all."""
    rig.subject(Subject("metrics.example", "Load", "shop", "a"))
    rig.fail()
    rig.subject(Subject("metrics.example", "Load", "other", "a"))
    rig.subject(pod("a"))
    assert rig.batch().referents == (pod("a"),)
    assert rig.existence.next_batch() is None
    rig = Rig()
    rig.subject(pod("a"))
    assert rig.fail(retry_after=30, everything=True) == 30_000
    rig.subject(Subject("apps", "Deployment", "other", "a"))
    assert rig.existence.next_batch() is None
    rig.now += 30_000
    assert Counter(batch.scope.group for batch in rig.drain()) == {"": 1, "apps": 1}


def test_the_kinds_that_the_chart_permits() -> None:
    """No Secrets, no ConfigMaps, no Gatekeeper constraints, and each kind once."""
    kinds = (*WATCHED_KINDS, *OTHER_KINDS)
    assert not {"secrets", "configmaps"} & set(kinds)
    assert len(set(kinds)) == len(kinds)
    assert not [origin for origin in ASKED_POLICIES if "gatekeeper" in origin]
    assert len(ASKED_POLICIES) == 11
