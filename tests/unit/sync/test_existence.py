"""What is asked of the API server, when, and what its answers and refusals are worth."""

from collections import Counter

import pytest

from policyhub.clock import SteadyMs, WallMs
from policyhub.sources.policy_apis import ASKED_POLICIES
from policyhub.sources.violation import Subject
from policyhub.sync.existence import (
    APART_MS,
    KEPT,
    KEPT_MS,
    MANY,
    OTHER_KINDS,
    STANDS_MS,
    UNKNOWN_MS,
    WATCHED_KINDS,
    Answer,
    Batch,
    Existence,
    Found,
    PolicyName,
    Presence,
    Referent,
)

START = SteadyMs(1_000_000)
GONE, THERE, UNKNOWN = Presence.GONE, Presence.THERE, Presence.UNKNOWN


def pod(name: str, namespace: str = "shop") -> Subject:
    return Subject("", "Pod", namespace, name)


class Stand:
    """Questions, and an API server that has what it is told to have."""

    def __init__(self) -> None:
        self.now = START
        self.answered: list[Referent] = []
        self.existence = Existence(now=lambda: self.now, on_answer=self.answered.append)

    def subject(self, of: Subject, since: SteadyMs = START) -> Answer | None:
        return self.existence.subject(of, since=since)

    def policy(self, name: str, source: str = "kyverno", since: SteadyMs = START) -> Answer | None:
        return self.existence.policy(source, name, since=since)

    def batch(self) -> Batch:
        batch = self.existence.next()
        assert batch is not None
        return batch

    def tell(self, *there: Referent, whole: bool = True, asked: SteadyMs | None = None) -> Batch:
        """The next batch is answered: these are there."""
        batch = self.batch()
        found = {thing: Found("u", WallMs(7)) for thing in there}
        self.existence.answer(batch, found, asked=self.now if asked is None else asked, whole=whole)
        self.existence.release(batch)
        return batch

    def refuse(self, *resources: str) -> None:
        batch = self.batch()
        self.existence.refuse(batch, asked=self.now, resources=resources)
        self.existence.release(batch)

    def fail(self, *, retry_after: float | None = None, everything: bool = False) -> int:
        """How long it is until something can be asked again."""
        batch = self.batch()
        self.existence.fail(batch, retry_after=retry_after, everything=everything)
        self.existence.release(batch)
        due = self.existence.due()
        assert due is not None
        return due - self.now

    def drain(self) -> list[Batch]:
        """What would be asked, all at once."""
        batches: list[Batch] = []
        while (batch := self.existence.next()) is not None:
            batches.append(batch)
            self.existence.answer(batch, {}, asked=self.now, whole=True)
            self.existence.release(batch)
        return batches


@pytest.fixture
def stand() -> Stand:
    return Stand()


# -- answers ----------------------------------------------------------------------------------------------------------


def test_what_is_there_and_what_is_gone(stand: Stand) -> None:
    """A question is asked once, however often it is put; whoever put it is told, and finds the answer."""
    assert [stand.subject(pod("a")), stand.subject(pod("a")), stand.subject(pod("b"))] == [None] * 3
    stand.tell(pod("a"))
    stand.now += 5
    stand.tell()
    assert stand.answered == [pod("a"), pod("b")]
    assert stand.subject(pod("a")) == Answer(THERE, START, WallMs(7), "u", START)
    assert stand.subject(pod("b")) == Answer(GONE, START + 5, ended=START + 5)
    assert stand.existence.next() is None
    assert (stand.existence.waiting, stand.existence.due()) == (0, None)


def test_an_answer_from_before_the_loss_is_none(stand: Stand) -> None:
    """An answer whose request began before `since` is asked for again, also if it was on its way at the question."""
    stand.subject(pod("a"), since=START)
    stand.tell(pod("a"))
    assert stand.subject(pod("a"), since=START + 1) is None
    stand.now += 10
    batch = stand.batch()
    assert stand.subject(pod("a"), since=START + 20) is None
    stand.existence.answer(batch, {}, asked=START + 10, whole=True)
    stand.existence.release(batch)
    assert stand.answered == [pod("a")]
    stand.now += 20
    stand.tell()
    assert stand.answered == [pod("a"), pod("a")]
    assert stand.subject(pod("a"), since=START + 20) == Answer(GONE, START + 30, ended=START + 30)


def test_answers_are_forgotten(stand: Stand) -> None:
    """After a while, and where there are very many: a question about one is asked again."""
    stand.subject(pod("a"))
    stand.tell(pod("a"))
    stand.now += KEPT_MS
    stand.existence.next()
    assert stand.subject(pod("a")) is None
    stand.drain()
    for number in range(KEPT + 5):
        stand.subject(pod(f"p{number}"), since=stand.now)
    stand.drain()
    stand.existence.next()
    kept = sum(stand.subject(pod(f"p{number}"), since=stand.now) is not None for number in range(KEPT + 5))
    assert kept == KEPT


def test_the_latest_of_two_who_ask_decides(stand: Stand) -> None:
    """Whoever needs a newer answer is not served by an older one because somebody else would be."""
    stand.subject(pod("a"), since=START + 10)
    stand.subject(pod("a"), since=START)
    stand.tell(pod("a"), asked=START + 5)
    assert stand.answered == []
    stand.now += 10
    stand.tell(pod("a"))
    assert stand.answered == [pod("a")]


# -- what is asked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "batches"), [(1, [1]), (MANY - 1, [1] * (MANY - 1)), (MANY, [MANY]), (5_000, [5_000])]
)
def test_many_are_one_listing(stand: Stand, number: int, batches: list[int]) -> None:
    """Fewer than MANY objects of a kind and namespace are asked for one by one, more by one listing."""
    for n in range(number):
        stand.subject(pod(f"p{n}"))
    asked = stand.drain()
    assert [len(batch.things) for batch in asked] == batches
    assert {batch.listing for batch in asked} == {number >= MANY}
    assert len(stand.answered) == number


def test_a_listing_that_names_not_everything(stand: Stand) -> None:
    """Where a listing held a name that cannot be read, the objects that it lacks are asked for one by one."""
    for n in range(MANY + 1):
        stand.subject(pod(f"p{n}"))
    batch = stand.batch()
    stand.existence.answer(batch, {pod("p0"): Found("u")}, asked=stand.now, whole=False)
    stand.existence.unlistable(batch)
    stand.existence.release(batch)
    assert stand.answered == [pod("p0")]
    assert [(len(batch.things), batch.listing) for batch in stand.drain()] == [(1, False)] * MANY


def test_a_part_of_a_listing_tells_nothing_of_the_rest(stand: Stand) -> None:
    """What it had is there; what it had not stays a question."""
    things = [pod(f"p{n}") for n in range(MANY + 1)]
    for thing in things:
        stand.subject(thing)
    stand.tell(things[0], whole=False)
    assert stand.answered == things[:1]
    assert [stand.subject(thing) for thing in things[1:]] == [None] * MANY


def test_namespaces_take_turns(stand: Stand) -> None:
    """Ten thousand questions about kinds that nobody serves delay another namespace's by one."""
    for n in range(10_000):
        stand.subject(Subject("fantasy.example", f"Kind{n}", "evil", "x"))
    stand.subject(pod("a", "shop"))
    first = [stand.batch().shelf.namespace for _ in range(2)]
    assert first == ["evil", "shop"]


def test_one_listing_of_a_shelf_at_a_time(stand: Stand) -> None:
    """What comes meanwhile waits for its end."""
    for n in range(MANY):
        stand.subject(pod(f"p{n}"))
    batch = stand.batch()
    stand.subject(pod("late"))
    assert stand.existence.next() is None
    stand.existence.answer(batch, {}, asked=stand.now, whole=True)
    stand.existence.release(batch)
    assert stand.batch().things == (pod("late"),)


def test_what_was_let_go_is_asked_again(stand: Stand) -> None:
    """A connection that ends takes no question with it."""
    stand.subject(pod("a"))
    batch = stand.batch()
    assert stand.existence.next() is None
    stand.existence.release(batch)
    assert stand.batch().things == batch.things


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(Subject("", "Secret", "shop", "a"), id="a Secret"),
        pytest.param(Subject("", "", "shop", "a"), id="no kind"),
        pytest.param(Subject("", "Pod", "shop", "a/b"), id="a path"),
        pytest.param(Subject("", "Pod", "shop", ".."), id="the path above"),
        pytest.param(Subject("", "Pod", "shop", "a b"), id="a blank"),
        pytest.param(Subject("", "Pod", "shop", "a%2fb"), id="an escape"),
        pytest.param(Subject("", "Pod", "../x", "a"), id="a namespace that is none"),
        pytest.param(Subject("a/b", "Pod", "shop", "a"), id="a group that is none"),
        pytest.param(Subject("", "Pod/log", "shop", "a"), id="a kind that is none"),
        pytest.param(Subject("", "Pod", "shop", ""), id="no name"),
    ],
)
def test_what_is_never_asked(stand: Stand, subject: Subject) -> None:
    """Secrets, and what no object can be called: UNKNOWN at once, and no question."""
    assert stand.subject(subject) == Answer(UNKNOWN, START, ended=START)
    assert stand.existence.next() is None


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
def test_the_kinds_that_a_policy_can_be_of(stand: Stand, source: str, policy: str, origins: list[str]) -> None:
    """A source without such objects, and a name that none of its kinds can have, are UNKNOWN at once."""
    answer = stand.policy(policy, source)
    batch = stand.existence.next()
    assert (answer is None) == (batch is not None) == bool(origins)
    assert list(batch.shelf.origins if batch else ()) == origins


def test_policies_are_listed(stand: Stand) -> None:
    """All that are asked for of the same kinds are one listing, and the next comes a while later."""
    for n in range(300):
        stand.policy(f"p{n}")
    batch = stand.tell(PolicyName("kyverno", "p1"))
    assert (batch.listing, len(batch.things)) == (True, 300)
    assert (stand.policy("p1"), stand.policy("p2")) == (
        Answer(THERE, START, WallMs(7), "u", START),
        Answer(GONE, START, ended=START),
    )
    stand.policy("p1", since=START + 1)
    stand.policy("p2", since=START + 1)
    batch = stand.batch()
    stand.policy("p3", since=START + 1)
    stand.existence.answer(batch, {}, asked=START + 1, whole=True)
    stand.existence.release(batch)
    assert stand.existence.next() is None
    assert stand.existence.due() == START + APART_MS


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_a_refusal_is_believed_when_it_stands(stand: Stand) -> None:
    """Refused again after a while, all that wait of the kind and namespace are UNKNOWN; later it is asked again."""
    stand.subject(pod("a"))
    stand.refuse("pods")
    assert (stand.answered, stand.existence.forbidden) == ([], [])
    assert stand.existence.next() is None
    stand.now += STANDS_MS
    stand.subject(pod("b"))
    stand.refuse("pods")
    assert stand.answered == [pod("a"), pod("b")]
    unknown = stand.subject(pod("a"), since=stand.now)
    assert unknown is not None
    assert (unknown.presence, stand.existence.forbidden) == (UNKNOWN, ["pods"])
    assert stand.subject(pod("a", "other")) is None
    assert stand.batch().shelf.namespace == "other"
    stand.now += UNKNOWN_MS
    assert stand.subject(pod("a"), since=stand.now) is None
    stand.refuse("pods")
    assert (stand.answered[2:], stand.existence.forbidden) == ([], ["pods"])
    stand.now += STANDS_MS
    stand.tell(pod("a"))
    assert (stand.answered[2:], stand.existence.forbidden) == ([pod("a")], [])


def test_a_refusal_that_does_not_stand(stand: Stand) -> None:
    """An API server that starts refuses, and then answers: nobody was told that anything is unknown."""
    stand.subject(pod("a"))
    stand.refuse("pods")
    stand.now += STANDS_MS
    stand.tell(pod("a"))
    assert stand.answered == [pod("a")]
    stand.subject(pod("a"), since=stand.now + 1)
    stand.now += 1
    stand.refuse("pods")
    assert stand.existence.forbidden == []
    assert stand.answered == [pod("a")]


def test_what_is_not_served_is_not_forbidden(stand: Stand) -> None:
    """A kind that the server does not know is UNKNOWN, and no permission is missing for it."""
    stand.subject(Subject("fantasy.example", "Unicorn", "shop", "a"))
    stand.refuse()
    stand.now += STANDS_MS
    stand.refuse()
    assert (len(stand.answered), stand.existence.forbidden) == (1, [])


def test_a_permission_that_nobody_needs_any_more_is_not_missing(stand: Stand) -> None:
    """What was refused long ago and never asked for since is not said to be forbidden."""
    stand.subject(pod("a"))
    stand.refuse("pods")
    stand.now += STANDS_MS
    stand.refuse("pods")
    stand.now += 2 * UNKNOWN_MS
    assert stand.existence.forbidden == []


# -- failures ---------------------------------------------------------------------------------------------------------


def test_failures_wait_longer_each_time(stand: Stand) -> None:
    """Up to a minute, and never less than the server asks for; a success ends that."""
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
    """An aggregated API that is down costs the others nothing; a server that is overloaded is left alone."""
    stand.subject(Subject("metrics.example", "Load", "shop", "a"))
    stand.fail()
    stand.subject(Subject("metrics.example", "Load", "other", "a"))
    stand.subject(pod("a"))
    assert stand.batch().things == (pod("a"),)
    assert stand.existence.next() is None
    stand = Stand()
    stand.subject(pod("a"))
    assert stand.fail(retry_after=30, everything=True) == 30_000
    stand.subject(Subject("apps", "Deployment", "other", "a"))
    assert stand.existence.next() is None
    stand.now += 30_000
    assert Counter(batch.shelf.group for batch in stand.drain()) == {"": 1, "apps": 1}


def test_what_the_chart_lets_be_asked() -> None:
    """No Secrets, no ConfigMaps, nothing of Gatekeeper's, and each kind once."""
    kinds = (*WATCHED_KINDS, *OTHER_KINDS)
    assert not {"secrets", "configmaps"} & set(kinds)
    assert len(set(kinds)) == len(kinds)
    assert not [origin for origin in ASKED_POLICIES if "gatekeeper" in origin]
    assert len(ASKED_POLICIES) == 11
