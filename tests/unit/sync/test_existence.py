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


class Stand:
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

    def tell(self, *there: Referent, whole: bool = True, asked: SteadyMs | None = None) -> Batch:
        """Answer the next batch: these exist."""
        batch = self.batch()
        found = {thing: FoundObject("u", WallMs(7)) for thing in there}
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
def stand() -> Stand:
    return Stand()


# -- answers ----------------------------------------------------------------------------------------------------------


def test_present_and_absent_objects(stand: Stand) -> None:
    """Repeated lookups are sent once; `on_answer` is called, and then the answer is available."""
    assert [stand.subject(pod("a")), stand.subject(pod("a")), stand.subject(pod("b"))] == [None] * 3
    stand.tell(pod("a"))
    stand.now += 5
    stand.tell()
    assert stand.answered == [pod("a"), pod("b")]
    assert stand.subject(pod("a")) == Answer(PRESENT, START, WallMs(7), "u", START)
    assert stand.subject(pod("b")) == Answer(ABSENT, START + 5, answered_at=START + 5)
    assert stand.existence.next_batch() is None
    assert (stand.existence.waiting, stand.existence.next_due()) == (0, None)


def test_an_answer_from_before_the_loss_does_not_count(stand: Stand) -> None:
    """If its request began before `since`, the lookup is sent again, also if the request was in flight."""
    stand.subject(pod("a"), since=START)
    stand.tell(pod("a"))
    assert stand.subject(pod("a"), since=START + 1) is None
    stand.now += 10
    batch = stand.batch()
    assert stand.subject(pod("a"), since=START + 20) is None
    stand.existence.answer(batch, {}, asked=START + 10, complete=True)
    stand.existence.release(batch)
    assert stand.answered == [pod("a")]
    stand.now += 20
    stand.tell()
    assert stand.answered == [pod("a"), pod("a")]
    assert stand.subject(pod("a"), since=START + 20) == Answer(ABSENT, START + 30, answered_at=START + 30)


def test_answers_are_forgotten(stand: Stand) -> None:
    """After their time to live, and beyond the maximum: then a lookup is sent again."""
    stand.subject(pod("a"))
    stand.tell(pod("a"))
    stand.now += ANSWER_TTL_MS
    stand.existence.next_batch()
    assert stand.subject(pod("a")) is None
    stand.drain()
    for number in range(MAX_ANSWERS + 5):
        stand.subject(pod(f"p{number}"), since=stand.now)
    stand.drain()
    stand.existence.next_batch()
    kept = sum(stand.subject(pod(f"p{number}"), since=stand.now) is not None for number in range(MAX_ANSWERS + 5))
    assert kept == MAX_ANSWERS


def test_the_latest_since_decides(stand: Stand) -> None:
    """An answer that is too old for one caller does not end the lookup for it, although it suffices for another."""
    stand.subject(pod("a"), since=START + 10)
    stand.subject(pod("a"), since=START)
    stand.tell(pod("a"), asked=START + 5)
    assert stand.answered == []
    stand.now += 10
    stand.tell(pod("a"))
    assert stand.answered == [pod("a")]


# -- what is asked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "batches"),
    [(1, [1]), (LIST_FROM - 1, [1] * (LIST_FROM - 1)), (LIST_FROM, [LIST_FROM]), (5_000, [5_000])],
)
def test_many_are_one_listing(stand: Stand, number: int, batches: list[int]) -> None:
    """Fewer than `LIST_FROM` objects of a kind and namespace are read one by one, more by one listing."""
    for n in range(number):
        stand.subject(pod(f"p{n}"))
    asked = stand.drain()
    assert [len(batch.referents) for batch in asked] == batches
    assert {batch.listing for batch in asked} == {number >= LIST_FROM}
    assert len(stand.answered) == number


def test_a_listing_with_an_unreadable_name(stand: Stand) -> None:
    """If a listing has a name that cannot be read, the objects that it lacks are read one by one."""
    for n in range(LIST_FROM + 1):
        stand.subject(pod(f"p{n}"))
    batch = stand.batch()
    stand.existence.answer(batch, {pod("p0"): FoundObject("u")}, asked=stand.now, complete=False)
    stand.existence.mark_unlistable(batch)
    stand.existence.release(batch)
    assert stand.answered == [pod("p0")]
    assert [(len(batch.referents), batch.listing) for batch in stand.drain()] == [(1, False)] * LIST_FROM


def test_an_incomplete_listing_proves_presence_only(stand: Stand) -> None:
    """Objects on it exist; the lookups of others stay pending."""
    things = [pod(f"p{n}") for n in range(LIST_FROM + 1)]
    for thing in things:
        stand.subject(thing)
    stand.tell(things[0], whole=False)
    assert stand.answered == things[:1]
    assert [stand.subject(thing) for thing in things[1:]] == [None] * LIST_FROM


def test_namespaces_take_turns(stand: Stand) -> None:
    """Ten thousand lookups of kinds that are not served delay those of another namespace by one."""
    for n in range(10_000):
        stand.subject(Subject("fantasy.example", f"Kind{n}", "evil", "x"))
    stand.subject(pod("a", "shop"))
    first = [stand.batch().scope.namespace for _ in range(2)]
    assert first == ["evil", "shop"]


def test_one_listing_of_a_scope_at_a_time(stand: Stand) -> None:
    """New lookups wait for its end."""
    for n in range(LIST_FROM):
        stand.subject(pod(f"p{n}"))
    batch = stand.batch()
    stand.subject(pod("late"))
    assert stand.existence.next_batch() is None
    stand.existence.answer(batch, {}, asked=stand.now, complete=True)
    stand.existence.release(batch)
    assert stand.batch().referents == (pod("late"),)


def test_released_lookups_are_sent_again(stand: Stand) -> None:
    """The end of a connection loses no lookup."""
    stand.subject(pod("a"))
    batch = stand.batch()
    assert stand.existence.next_batch() is None
    stand.existence.release(batch)
    assert stand.batch().referents == batch.referents


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
def test_what_is_never_looked_up(stand: Stand, subject: Subject) -> None:
    """Secrets, and names that no object can have: UNKNOWN at once, without a request."""
    assert stand.subject(subject) == Answer(UNKNOWN, START, answered_at=START)
    assert stand.existence.next_batch() is None


# -- policies ---------------------------------------------------------------------------------------------------------

KW = "policies.kubewarden.io"


@pytest.mark.parametrize(
    ("source", "policy", "origins"),
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
def test_the_kinds_that_a_policy_can_have(stand: Stand, source: str, policy: str, origins: list[str]) -> None:
    """A source without policy objects, and a name that none of its kinds can have, are UNKNOWN at once."""
    answer = stand.policy(policy, source)
    batch = stand.existence.next_batch()
    assert (answer is None) == (batch is not None) == bool(origins)
    assert list(batch.scope.origins if batch else ()) == origins


def test_policies_are_listed(stand: Stand) -> None:
    """Lookups of the same kinds share one listing, and there is a minimum time until the next."""
    for n in range(300):
        stand.policy(f"p{n}")
    batch = stand.tell(PolicyName("kyverno", "p1"))
    assert (batch.listing, len(batch.referents)) == (True, 300)
    assert (stand.policy("p1"), stand.policy("p2")) == (
        Answer(PRESENT, START, WallMs(7), "u", START),
        Answer(ABSENT, START, answered_at=START),
    )
    stand.policy("p1", since=START + 1)
    stand.policy("p2", since=START + 1)
    batch = stand.batch()
    stand.policy("p3", since=START + 1)
    stand.existence.answer(batch, {}, asked=START + 1, complete=True)
    stand.existence.release(batch)
    assert stand.existence.next_batch() is None
    assert stand.existence.next_due() == START + POLICY_LISTING_INTERVAL_MS


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_a_repeated_refusal_is_accepted(stand: Stand) -> None:
    """Then all lookups of the scope are UNKNOWN; later they are sent again."""
    stand.subject(pod("a"))
    stand.refuse("pods")
    assert (stand.answered, stand.existence.forbidden) == ([], [])
    assert stand.existence.next_batch() is None
    stand.now += REFUSAL_CONFIRM_MS
    stand.subject(pod("b"))
    stand.refuse("pods")
    assert stand.answered == [pod("a"), pod("b")]
    unknown = stand.subject(pod("a"), since=stand.now)
    assert unknown is not None
    assert (unknown.presence, stand.existence.forbidden) == (UNKNOWN, ["pods"])
    assert stand.subject(pod("a", "other")) is None
    assert stand.batch().scope.namespace == "other"
    stand.now += UNKNOWN_RETRY_MS
    assert stand.subject(pod("a"), since=stand.now) is None
    stand.refuse("pods")
    assert (stand.answered[2:], stand.existence.forbidden) == ([], ["pods"])
    stand.now += REFUSAL_CONFIRM_MS
    stand.tell(pod("a"))
    assert (stand.answered[2:], stand.existence.forbidden) == ([pod("a")], [])


def test_a_refusal_that_is_not_repeated(stand: Stand) -> None:
    """An API server refuses while it starts, and then answers: nothing was UNKNOWN."""
    stand.subject(pod("a"))
    stand.refuse("pods")
    stand.now += REFUSAL_CONFIRM_MS
    stand.tell(pod("a"))
    assert stand.answered == [pod("a")]
    stand.subject(pod("a"), since=stand.now + 1)
    stand.now += 1
    stand.refuse("pods")
    assert stand.existence.forbidden == []
    assert stand.answered == [pod("a")]


def test_a_kind_that_is_not_served_is_not_forbidden(stand: Stand) -> None:
    """It is UNKNOWN, and no permission is missing."""
    stand.subject(Subject("fantasy.example", "Unicorn", "shop", "a"))
    stand.refuse()
    stand.now += REFUSAL_CONFIRM_MS
    stand.refuse()
    assert (len(stand.answered), stand.existence.forbidden) == (1, [])


def test_an_old_refusal_is_not_reported(stand: Stand) -> None:
    """A permission that is no longer needed is not reported as missing."""
    stand.subject(pod("a"))
    stand.refuse("pods")
    stand.now += REFUSAL_CONFIRM_MS
    stand.refuse("pods")
    stand.now += 2 * UNKNOWN_RETRY_MS
    assert stand.existence.forbidden == []


# -- failures ---------------------------------------------------------------------------------------------------------


def test_failures_wait_longer_each_time(stand: Stand) -> None:
    """Up to a minute, and never less than Retry-After; a success resets it."""
    stand.subject(pod("a"))
    waits = []
    for _ in range(8):
        waits.append(stand.fail())
        stand.now += waits[-1]
    assert waits == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]
    assert stand.subject(pod("a")) is None
    stand.subject(pod("b"))
    stand.tell(pod("a"))
    assert stand.fail() == 1_000
    stand.now += 1_000
    assert stand.fail(retry_after=5) == 5_000


def test_a_group_that_fails_delays_only_itself(stand: Stand) -> None:
    """An aggregated API that is down does not delay others; an overloaded server gets no requests at all."""
    stand.subject(Subject("metrics.example", "Load", "shop", "a"))
    stand.fail()
    stand.subject(Subject("metrics.example", "Load", "other", "a"))
    stand.subject(pod("a"))
    assert stand.batch().referents == (pod("a"),)
    assert stand.existence.next_batch() is None
    stand = Stand()
    stand.subject(pod("a"))
    assert stand.fail(retry_after=30, everything=True) == 30_000
    stand.subject(Subject("apps", "Deployment", "other", "a"))
    assert stand.existence.next_batch() is None
    stand.now += 30_000
    assert Counter(batch.scope.group for batch in stand.drain()) == {"": 1, "apps": 1}


def test_the_kinds_that_the_chart_permits() -> None:
    """No Secrets, no ConfigMaps, no Gatekeeper constraints, and each kind once."""
    kinds = (*WATCHED_KINDS, *OTHER_KINDS)
    assert not {"secrets", "configmaps"} & set(kinds)
    assert len(set(kinds)) == len(kinds)
    assert not [origin for origin in ASKED_POLICIES if "gatekeeper" in origin]
    assert len(ASKED_POLICIES) == 11
