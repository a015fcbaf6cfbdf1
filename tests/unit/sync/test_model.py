"""The ledger, the plan and the engine against models of a cluster and of Security Hub, in any order of events.

Everything that may break does: replies are lost before and after the write, findings fail within a call or are refused
for good, readers see an older state, the inventory is read part by part, processes die with calls under way that are
written later or never, watches are lost and listings cut short, discoveries are partial, another cluster answers, APIs
are removed, audits list a part, namespaces go, the clock on the wall jumps. What is promised:

* nothing is archived while the cluster still has the violation: stated against the model cluster, for what began before
  its API was last seen (`Sight.could_know`);
* what Security Hub is known to have is not sent again, first times stand, updates are later (`Operator._check`);
* what belongs to the analysts is never written (`Hub.take`);
* whatever the full comparison would act on is dirty, at any time;
* once nothing breaks any more, Security Hub holds exactly the violations, and nothing that works is listed again.

More than in every run: `MODEL_EXAMPLES=20000 pytest tests/unit/sync/test_model.py` (random, not repeated).
"""

import os
from collections import Counter
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from prometheus_client import CollectorRegistry

from policyhub.hub.errors import HubError, Throttled, Unavailable
from policyhub.metrics import Metrics
from policyhub.sources.violation import SourceKey
from policyhub.sync.holds import Hold
from policyhub.sync.plan import Change
from tests.unit.sync.model_cluster import IDS, KEYS, ORIGINS, PODS, Cluster, Said
from tests.unit.sync.model_hub import LAG_MS, REFUSED, Finding, Hub
from tests.unit.sync.model_operator import DELAY, RULES, Call, Clocks, Operator

SECOND, HOUR = 1000, 3_600_000
LONG = 26 * HOUR
"""Longer than any delay but a refresh's."""
PATIENCE = 5 * SECOND
"""Longer than a call to Security Hub or an event of a watch may take."""

said = st.dictionaries(
    st.sampled_from(["r0", "r0", "r1", "r2", "team"]),
    st.sampled_from(["fail", "fail", "worse", "pass", "broken", REFUSED]),
    max_size=3,
)
keys = st.sampled_from(KEYS)
origins = st.sampled_from(ORIGINS)
outcomes = st.sampled_from(["accepted"] * 5 + ["failing", "lost after", "lost before", "throttled", "under way"])


def unavailable() -> HubError:
    return Unavailable("no answer", code="ReadTimeout")


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clocks = Clocks()
        self.metrics = Metrics(CollectorRegistry())
        self.cluster = Cluster()
        self.hub = Hub()
        self.late: list[list[Finding]] = []
        """Imports of processes that have died, not written yet."""
        self.operator = self.fresh()

    def fresh(self) -> Operator:
        return Operator(self.cluster, self.hub, clocks=self.clocks, metrics=self.metrics)

    @initialize(contents=st.lists(said, min_size=4, max_size=4), pods=st.sets(st.sampled_from(PODS)))
    def at_work(self, contents: list[Said], pods: set[str]) -> None:
        """A cluster with violations, and an operator that has sent them."""
        for key, content in zip(KEYS, contents, strict=True):
            self.change(key, content)
        self.cluster.set_pods(pods)
        self.audit(limit=9, missed="")
        self.start_over(list(ORIGINS), read=True)
        self.go_on(works=True, milliseconds=0, jump=0)

    # -- the operator ---------------------------------------------------------------------------------------------

    @rule(die=st.sampled_from([True, False, False]))
    def restart(self, die: bool) -> None:  # noqa: FBT001
        """Often nothing dies: the rule would be chosen too often."""
        if die:
            self.late += self.operator.die()
            self.cluster.impostor = False
            self.operator = self.fresh()

    @rule(listed=st.lists(origins, unique=True), read=st.booleans())
    def start_over(self, listed: list[str], read: bool) -> None:  # noqa: FBT001
        """A process that has come some way: some APIs listed, the inventory read or not."""
        self.restart(die=True)
        self.discover(unknown=set())
        if read:
            self.operator.read_inventory()
        for origin in listed:
            self.list_all(origin, garbage=False)
        self.operator.sight.list_namespaces()

    @rule(works=st.booleans(), milliseconds=st.sampled_from([0, 2 * DELAY]), jump=st.sampled_from([0, -9999]))
    def go_on(self, works: bool, milliseconds: int, jump: int) -> None:  # noqa: FBT001
        """A while in which nothing breaks."""
        self.operator.sight.deliver_all()
        self.look(works=works)
        self.act(["accepted"], size=99)
        self.wait(milliseconds, jump)
        self.discover(unknown=set())
        for _ in range(2):
            self.act(["accepted"], size=99)
            self.look(works=works)

    @rule(unknown=st.just(set()) | st.sets(origins, max_size=1))
    def discover(self, unknown: set[str]) -> None:
        """Which APIs are served, or of some nothing. It tells when another cluster answers: all begins anew."""
        if self.cluster.impostor:
            self.restart(die=True)
        self.operator.sight.discover(unknown)

    @rule(origin=origins)
    def lose(self, origin: str) -> None:
        self.operator.sight.lose(origin)

    @rule(origin=origins)
    def resume(self, origin: str) -> None:
        """A watch that was lost goes on."""
        sight = self.operator.sight
        if sight.can_list(origin) and not sight.sources[origin].watching:
            sight.resume(origin)

    @rule(origin=origins, garbage=st.sampled_from([False, False, True]))
    def list_all(self, origin: str, garbage: bool) -> None:  # noqa: FBT001
        if self.operator.sight.can_list(origin):
            self.operator.sight.list_all(origin, garbage=garbage)

    @rule(origin=origins)
    def list_part(self, origin: str) -> None:
        """A listing begins; it goes on when all is delivered, or is cut short."""
        if self.operator.sight.can_list(origin):
            self.operator.sight.begin(origin)

    @rule()
    def deliver(self) -> None:
        """What changed arrives, of all that is watched."""
        self.operator.sight.deliver_all()

    @rule(sees=st.booleans())
    def see_namespaces(self, sees: bool) -> None:  # noqa: FBT001
        if sees:
            self.operator.sight.list_namespaces()
        else:
            self.operator.sight.lose_namespaces()

    @rule(whole=st.booleans())
    def inventory(self, whole: bool) -> None:  # noqa: FBT001
        """All of it that is left, or the next part."""
        if whole:
            self.operator.read_inventory()
        else:
            self.operator.end_part()
            self.operator.begin_part()

    @rule()
    def give_up(self) -> None:
        """The inventory is not to be had."""
        if not self.operator.ledger.observed.parts:
            self.operator.ledger.observed.give_up()

    @rule(works=st.booleans())
    def look(self, works: bool) -> None:  # noqa: FBT001
        """Findings are read by id, until none is left to be."""
        self.operator.answer(None if works else unavailable())
        while self.operator.ask() and works:
            self.operator.answer()

    @rule()
    def ask(self) -> None:
        """They are asked for; the answer comes later."""
        self.operator.ask()

    @rule()
    def look_again(self) -> None:
        self.operator.look_again()

    @rule(outcomes=st.lists(outcomes, min_size=1, max_size=3), size=st.sampled_from([1, 2, 99]))
    def act(self, outcomes: list[str], size: int) -> None:
        """Decide and send all that is dirty."""
        for number, call in enumerate(self.operator.compose(size)):
            self.end(call, outcomes[number % len(outcomes)])

    def end(self, call: Call, how: str) -> None:
        match how:
            case "accepted" | "failing":
                self.operator.accept(call, failing=how == "failing")
            case "lost after":
                self.hub.take(call.request, now=self.clocks.passed)
                self.operator.fail(call, unavailable())
            case "lost before":
                self.operator.fail(call, unavailable())
            case "throttled":
                self.operator.fail(call, Throttled("slower", code="TooManyRequestsException"))
            case _:  # under way: it ends with `land`, or with the process
                pass

    @rule(how=outcomes)
    def land(self, how: str) -> None:
        """What was under way is answered, while other things went on."""
        for call in list(self.operator.imports):
            self.end(call, how)

    @rule(arrives=st.booleans())
    def arrive(self, arrives: bool) -> None:  # noqa: FBT001
        """What a dead process had sent is written now, or never."""
        late, self.late = self.late, []
        if arrives:
            for request in late:
                self.hub.take(request, now=self.clocks.passed)

    # -- the world ------------------------------------------------------------------------------------------------

    @rule(key=keys, content=st.none() | said)
    def change(self, key: SourceKey, content: Said | None) -> None:
        self.cluster.write(key, content, seconds=self.clocks.wall() // 1000)

    @rule(pods=st.sets(st.sampled_from(PODS)))
    def pods(self, pods: set[str]) -> None:
        self.cluster.set_pods(pods)

    @rule(limit=st.sampled_from([9, 9, 0, 2, 3]), missed=st.sampled_from(["", "", *PODS]))
    def audit(self, limit: int, missed: str) -> None:
        self.cluster.run_audit(limit=limit, missed=missed, seconds=self.clocks.wall() // 1000)

    @rule(limit=st.sampled_from([9, 2]), pods=st.sets(st.sampled_from(PODS)))
    def audits(self, limit: int, pods: set[str]) -> None:
        """Two that say the same, and are heard."""
        self.cluster.set_pods(pods)
        for _ in range(2):
            self.audit(limit, "")
            self.operator.sight.deliver_all()

    @rule(there=st.booleans())
    def constraint(self, there: bool) -> None:  # noqa: FBT001
        self.cluster.set_constraint(there=there)

    @rule(there=st.booleans())
    def team(self, there: bool) -> None:  # noqa: FBT001
        """A namespace is made or deleted."""
        self.cluster.set_namespace("team", there=there)

    @rule(origin=origins, there=st.booleans(), told=st.booleans())
    def serve(self, origin: str, there: bool, told: bool) -> None:  # noqa: FBT001
        """An API is removed with all that is in it, which its watch tells or not; or it comes back."""
        if there:
            self.cluster.restore(origin)
        elif origin not in self.cluster.removed:
            self.cluster.remove(origin)
            if told:
                self.operator.sight.deliver(origin)
            self.operator.sight.lose(origin)

    @rule()
    def leave(self) -> None:
        """The engine goes on with the other report API."""
        self.cluster.leave()

    @rule(on=st.sampled_from([True, False, False]))
    def deceive(self, on: bool) -> None:  # noqa: FBT001
        """Another cluster answers what is asked from now on; watches go on."""
        self.cluster.impostor = self.cluster.impostor or on

    @rule(on=st.sampled_from([True, False, False]), origin=origins)
    def deceived(self, on: bool, origin: str) -> None:  # noqa: FBT001
        """A watch is lost and begun anew at another cluster, long before a discovery tells."""
        if on:
            self.lose(origin)
            self.deceive(on=True)
            self.list_all(origin, garbage=False)
            self.act(["accepted"], size=99)
            self.wait(2 * DELAY, 0)
            self.act(["accepted"], size=99)

    @rule(key=keys, content=said)
    def read_too_early(self, key: SourceKey, content: Said) -> None:
        """What was sent a moment ago, readers do not see yet."""
        self.lag(lagging=True)
        self.change(key, content)
        self.deliver()
        self.act(["accepted"], size=99)
        self.operator.read_inventory()
        self.act(["accepted"], size=99)

    @rule(id_=st.sampled_from(list(IDS)), status=st.sampled_from(["SUPPRESSED", "NOTIFIED"]))
    def triage(self, id_: str, status: str) -> None:
        if id_ in self.hub.active():
            self.hub.triage(id_, status, now=self.clocks.passed)

    @rule(id_=st.sampled_from(list(IDS)))
    def forget(self, id_: str) -> None:
        """Security Hub deletes a finding."""
        if self.hub.stored.get(id_) and self.hub.stored[id_].finding:
            self.hub.lose(id_, now=self.clocks.passed)

    @rule(id_=st.sampled_from(list(IDS)), there=st.booleans())
    def intrude(self, id_: str, there: bool) -> None:  # noqa: FBT001
        """Another cluster writes under this one's identity, or no longer."""
        if there:
            self.hub.intrude(id_, now=self.clocks.passed)
        else:
            self.hub.withdraw(now=self.clocks.passed)

    @rule(lagging=st.booleans())
    def lag(self, lagging: bool) -> None:  # noqa: FBT001
        """Readers see the hub as it was, or as it is."""
        self.hub.lagging = lagging
        if not lagging:
            self.hub.catch_up(now=self.clocks.passed)

    @rule(
        milliseconds=st.sampled_from([10, SECOND, 40 * SECOND, DELAY, 2 * DELAY, 16 * 60 * SECOND, LONG, 40 * LONG]),
        jump=st.sampled_from([0, 0, -9999, 9999, -LONG, LONG]),
    )
    def wait(self, milliseconds: int, jump: int) -> None:
        """Time passes; the clock on the wall may jump."""
        if milliseconds > PATIENCE:
            self.operator.sight.deliver_all()
            self.land("lost after")
            self.operator.answer(unavailable())
            self.operator.drop_part()
            self.late.clear()
        self.clocks.passed += milliseconds
        self.clocks.offset += jump
        self.hub.catch_up(now=self.clocks.passed, least=LAG_MS)
        if milliseconds > HOUR:
            self.operator.refresh()
        self.operator.ledger.wake(self.operator.now())

    # -- what holds -----------------------------------------------------------------------------------------------

    @invariant()
    def what_would_be_sent_is_dirty(self) -> None:
        """The dirty set is never smaller than what the full comparison would act on."""
        self.clocks.passed += 1
        ledger, now = self.operator.ledger, self.operator.now()
        ledger.wake(now)
        for entry in ledger.entries.values():
            if entry.in_flight:
                continue
            if entry.known is None and not ledger.observed.is_read(entry.id):
                assert not entry.wanted or entry.id in ledger.observed.unread
                continue
            decision = ledger.decide(entry, rules=RULES, now=now, wall=now)[0]
            if isinstance(decision, Change) and decision is not Change.REFRESHED:
                assert entry.id in ledger.agenda.dirty, f"{IDS[entry.id]}: {decision}"

    @invariant()
    def counts_agree(self) -> None:
        ledger = self.operator.ledger
        entries = ledger.entries.values()
        assert ledger.standings.violations.total() == sum(entry.wanted for entry in entries)
        active = [entry for entry in entries if entry.known is not None and not entry.known.archived]
        assert +ledger.standings.triage == Counter(entry.triage for entry in active)
        assert ledger.guard.total() == sum(entry.known is not None and not entry.known.archived for entry in entries)
        assert {id_ for ids in ledger.desired.objects.values() for id_ in ids} == {e.id for e in entries if e.calls}

    # -- the end --------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Once nothing breaks any more, Security Hub has exactly the violations."""
        if self.operator.ledger.observed.parts or self.cluster.seq:
            self.calm()
            self.check()

    def calm(self) -> None:
        self.land("accepted")
        self.operator.answer()
        self.operator.end_part()
        self.arrive(arrives=True)
        self.hub.withdraw(now=self.clocks.passed)
        self.lag(lagging=False)
        if self.cluster.seq % 2:  # else what cannot be read holds what it may call for
            self.cluster.mend(seconds=self.clocks.wall() // 1000)
        self.discover(unknown=set())
        sight = self.operator.sight
        for origin in ORIGINS:
            if sight.can_list(origin) and (
                not sight.sources[origin].watching or origin in self.operator.ledger.sources.unreadable
            ):
                sight.list_all(origin)
        if not sight.sees_namespaces:
            sight.list_namespaces()
        for _ in range(8):
            self.audits(self.limit_of_audit(), set(self.cluster.violating))
            self.operator.read_inventory()
            self.go_on(works=True, milliseconds=LONG, jump=0)

    def limit_of_audit(self) -> int:
        audit = self.cluster.audit
        return len(audit.listed) if audit is not None and audit.total > len(audit.listed) else 9

    def check(self) -> None:
        must, may = self.cluster.must(), self.cluster.may()
        refused = {label for label, words in must.items() if words == REFUSED}
        found = {IDS[id_]: finding for id_, finding in self.hub.active().items()}
        assert found.keys() >= must.keys() - refused, f"{must.keys() - refused - found.keys()} are lost"
        stuck = {
            IDS[id_] for id_, hold in self.operator.ledger.agenda.held.items() if hold == Hold.REJECTED
        }  # as last worded
        more = found.keys() - must.keys() - may - stuck
        assert not more, f"{more} are no violations"
        for label in must.keys() - refused:
            assert found[label]["Description"].endswith(": " + must[label]), f"{label} reads otherwise"
        assert not self.operator.ledger.agenda.dirty
        assert not self.operator.ledger.observed.unread


EXAMPLES = os.environ.get("MODEL_EXAMPLES", "")
Model.TestCase.settings = settings(
    max_examples=int(EXAMPLES or 400),
    stateful_step_count=50,
    deadline=None,
    derandomize=not EXAMPLES,
    report_multiple_bugs=False,
)
TestModel = Model.TestCase


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """What the operator logs of each fault."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.configure(**before)
