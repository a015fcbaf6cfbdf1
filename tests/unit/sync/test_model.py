"""The ledger and the plan against models of a cluster and of Security Hub, in any order of events.

The hub keeps Security Hub's rules (an update that is not later is ignored, CreatedAt stands), loses replies before and
after the write, and may show readers an older state. The operator dies at any step, with a call under way that is
written later or never. What it hears of the cluster comes late, or not at all while a connection is lost.
"""

import copy

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from policyhub.findings.identity import finding_id
from policyhub.sources.violation import SourceKey, Subject, Violation
from policyhub.sync.entry import Coverage, Entry, Held, Known
from policyhub.sync.ledger import Ledger
from policyhub.sync.plan import Change, Hold, Rules, Wait, decide, next_update, unweighed, weighs

NOW = 1_790_000_000_000
DELAY = 1000
RULES = Rules(archive_delay_ms=DELAY)
LONG = 26 * 3_600_000
"""Longer than any delay but a refresh's."""
KEYS = (
    SourceKey("wgpolicyk8s.io", "policyreports", "shop", "a"),
    SourceKey("wgpolicyk8s.io", "policyreports", "shop", "b"),
    SourceKey("openreports.io", "reports", "shop", "a"),
)
ORIGINS = ("policyreports.wgpolicyk8s.io", "reports.openreports.io")
NUMBERS = range(3)

Said = dict[int, str]
"""What a report says of each violation: fail, worse (a fail with another message), pass; or nothing."""


def violation(number: int, message: str = "fail") -> Violation:
    return Violation(
        source="kyverno",
        policy="p",
        rule=f"r{number}",
        subject=Subject("apps", "Deployment", "shop", "web"),
        discriminator="",
        result="fail",
        severity=None,
        category="",
        message=message,
    )


IDS = {finding_id("alpha", violation(number).identity): number for number in NUMBERS}

said = st.dictionaries(st.sampled_from(list(NUMBERS)), st.sampled_from(["fail", "fail", "worse", "pass"]), max_size=3)
outcome = st.sampled_from(["accepted", "accepted", "accepted", "lost after", "lost before", "throttled", "under way"])


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.wall = NOW
        self.cluster: dict[SourceKey, Said] = {}
        self.hub: dict[str, Known] = {}
        self.shown: dict[str, Known] = {}
        """What readers see: the hub, or an older state of it."""
        self.lagging = False
        self.unread: set[str] = set()
        """Ids that were sent without having been read: their first time may have been another."""
        self.moved: set[str] = set()
        """Ids whose CreatedAt was sent otherwise than before, by a process that had read it."""
        self.late: list[tuple[str, Known]] = []
        """Imports of a process that has died, not written yet."""
        self.excused: set[str] = set()
        """Ids of which this process cannot know what the hub has: an answer was lost, or reads lagged."""
        self.begin()

    # -- the operator ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        self.ledger = Ledger(cluster_id="alpha", cluster_uid="u", default_severity="MEDIUM", on_dirty=lambda: None)
        self.heard: dict[SourceKey, Said] = {}
        self.live: set[str] = set()
        self.listed: set[str] = set()

    @rule(die=st.sampled_from([True, False, False]))
    def restart(self, die: bool) -> None:  # noqa: FBT001
        """Often nothing dies: the rule would be chosen too often."""
        if die:
            for id_ in list(self.ledger.flying):
                self.excused.add(id_)
            self.begin()

    @rule(origins=st.lists(st.sampled_from(ORIGINS), unique=True), read=st.booleans())
    def start_over(self, origins: list[str], read: bool) -> None:  # noqa: FBT001
        """A process that has come some way: some APIs listed, the inventory read or not."""
        self.restart(die=True)
        if read:
            self.inventory()
        for origin in origins:
            self.list_all(origin)

    @rule(works=st.booleans(), milliseconds=st.sampled_from([0, 2 * DELAY]), jump=st.sampled_from([0, -9999]))
    def go_on(self, works: bool, milliseconds: int, jump: int) -> None:  # noqa: FBT001
        """A while in which nothing breaks."""
        self.deliver()
        self.look(works=works)
        self.act(["accepted"])
        self.wait(milliseconds, jump)
        self.discover()
        for _ in range(2):
            self.act(["accepted"])
            self.ledger.wake(self.now)

    @rule(origin=st.sampled_from(ORIGINS))
    def lose(self, origin: str) -> None:
        """A watch is lost, and with it what it would have told."""
        if origin in self.live:
            self.live.discard(origin)
            self.ledger.cover(origin, Coverage(live=False))

    @rule(origin=st.sampled_from(ORIGINS))
    def list_all(self, origin: str) -> None:
        """A complete listing, and the watch that follows it."""
        self.ledger.opened[origin] = self.now
        backlog = origin not in self.listed
        for key in KEYS:
            if key.origin == origin:
                self.tell(key, backlog=backlog)
        self.listed.add(origin)
        self.live.add(origin)
        self.ledger.cover(origin, Coverage(live=True, since=self.now))
        self.ledger.list_reports(listed=self.listed == set(ORIGINS), groups=2, now=self.now)

    @rule()
    def deliver(self) -> None:
        """What changed arrives, of all that is watched."""
        for key in KEYS:
            if key.origin in self.live:
                self.tell(key)

    def tell(self, key: SourceKey, *, backlog: bool = False) -> None:
        content = self.cluster.get(key)
        if content == self.heard.get(key):
            return
        if content is None:
            self.heard.pop(key)
            self.ledger.gone(key, now=self.now)
            return
        self.heard[key] = dict(content)
        self.ledger.read(
            key,
            [(violation(n, words), self.now) for n, words in content.items() if words != "pass"],
            complete=True,
            passed=lambda: frozenset(violation(n).identity for n, words in content.items() if words == "pass"),
            now=self.now,
            backlog=backlog,
        )

    @rule()
    def discover(self) -> None:
        self.ledger.confirm(ORIGINS, now=self.now)

    @rule()
    def inventory(self) -> None:
        """A whole one, of what readers are shown."""
        self.ledger.take_part("", [self.held(id_) for id_ in self.shown], now=self.now)
        self.ledger.finish_inventory()
        if self.shown != self.hub:
            self.excused |= IDS.keys()

    @rule(works=st.booleans())
    def look(self, works: bool) -> None:  # noqa: FBT001
        for id_ in self.ledger.look(20):
            if works:
                self.ledger.take_lookup(id_, self.held(id_) if id_ in self.shown else None, now=self.now)
            else:
                self.ledger.drop_lookup(id_)
        if self.shown != self.hub:
            self.excused |= IDS.keys()

    def held(self, id_: str) -> Held:
        return Held(id_, self.shown[id_], "u", ORIGINS[0], f"r{IDS[id_]}", source="kyverno")

    @rule()
    def give_up(self) -> None:
        """The inventory is not to be had."""
        if not self.ledger.parts:
            self.ledger.give_up()
            self.excused |= IDS.keys()

    @rule(outcomes=st.lists(outcome, min_size=1, max_size=3))
    def act(self, outcomes: list[str]) -> None:
        """Decide and send all that is dirty, as the engine does."""
        for number, id_ in enumerate(list(self.ledger.dirty)):
            self.act_on(self.ledger.entries[id_], outcomes[number % len(outcomes)])

    def act_on(self, entry: Entry, how: str) -> None:
        ledger = self.ledger
        decision = decide(entry, ledger=ledger, rules=RULES, now=self.now)
        if isinstance(decision, Change) and unweighed(entry, decision, ledger=ledger):
            decision = Wait(self.now)
        match decision:
            case None:
                ledger.settle(entry)
            case Wait(until=until):
                weighed = weighs(entry, Hold.DELAY, ledger=ledger)
                ledger.settle(entry, hold=Hold.DELAY, until=until, weighs=weighed)
            case Hold():
                ledger.settle(entry, hold=decision, weighs=weighs(entry, decision, ledger=ledger))
            case Change():
                self.send(entry, decision, how)

    def send(self, entry: Entry, change: Change, how: str) -> None:
        ledger, known = self.ledger, entry.known
        archived = change is Change.ARCHIVED
        if archived and entry.voice is None and entry.body is None:  # it is read by id first
            ledger.launch(entry)
            there = self.shown.get(entry.id)
            ledger.take_body(entry, None if there is None else {}, there)
            return
        if archived:
            self.check_archive(IDS[entry.id])
        digest = entry.digest if entry.voice is not None else (known.digest if known else "")
        shipped = Known(
            digest=digest,
            created_at=known.created_at if known else min(entry.observed or self.wall, self.wall),
            updated_at=next_update(known.updated_at if known else None, now=self.wall),
            archived=archived,
        )
        again = entry.unanswered
        if again is not None and (again.digest, again.archived) == (digest, archived):
            shipped = Known(digest, shipped.created_at, again.updated_at, archived)
        stored = self.hub.get(entry.id)
        if stored is not None and (stored.digest, stored.archived) == (digest, archived):
            assert entry.id in self.excused, f"{change} of {entry.id} was sent although nothing had changed"
        if ledger.unavailable:
            self.unread.add(entry.id)
        ledger.launch(entry)
        self.answer(entry, shipped, how)

    def answer(self, entry: Entry, shipped: Known, how: str) -> None:
        """What becomes of an import."""
        ledger, stored = self.ledger, self.hub.get(entry.id)
        match how:
            case "accepted":
                if stored is not None and entry.id not in self.excused:
                    assert shipped.updated_at > stored.updated_at, "Security Hub would ignore it"
                self.write(entry.id, shipped)
                self.excused.discard(entry.id)
                ledger.acknowledge(entry, shipped, now=self.now)
            case "lost after":
                self.write(entry.id, shipped)
                self.excused.add(entry.id)
                ledger.unanswered(entry, shipped)
            case "lost before":
                self.excused.add(entry.id)
                ledger.unanswered(entry, shipped)
            case "under way":  # answered by the rule `land`, or never: then it may be written after the process died
                self.late.append((entry.id, shipped))
            case _:
                ledger.release(entry)

    def check_archive(self, number: int) -> None:
        """Never while anything that was heard calls for it, nor before every API was heard."""
        assert self.listed == set(ORIGINS)
        calls = [key for key, content in self.heard.items() if content.get(number, "pass") != "pass"]
        assert not calls, f"{number} is archived although {calls} call for it"

    # -- the world ------------------------------------------------------------------------------------------------

    @initialize(contents=st.lists(said, min_size=3, max_size=3))
    def at_work(self, contents: list[Said]) -> None:
        """A cluster with violations, and an operator that has sent them."""
        self.cluster = dict(zip(KEYS, contents, strict=True))
        self.start_over(list(ORIGINS), read=True)
        self.go_on(works=True, milliseconds=0, jump=0)

    @rule(key=st.sampled_from(KEYS), content=st.none() | said)
    def change(self, key: SourceKey, content: Said | None) -> None:
        if content is None:
            self.cluster.pop(key, None)
        else:
            self.cluster[key] = content

    @rule(
        milliseconds=st.sampled_from([1, 10, DELAY, 2 * DELAY, 16 * 60_000]), jump=st.sampled_from([0, 0, -9999, 9999])
    )
    def wait(self, milliseconds: int, jump: int) -> None:
        """Time passes; the clock on the wall may jump."""
        self.now += milliseconds
        self.wall += milliseconds + jump
        self.ledger.wake(self.now)

    def write(self, id_: str, import_: Known) -> None:
        stored = self.hub.get(id_)
        if stored is None:
            self.hub[id_] = import_
        elif import_.updated_at > stored.updated_at:
            if import_.created_at != stored.created_at and id_ not in self.unread:
                self.moved.add(id_)
            self.hub[id_] = msgspec.structs.replace(import_, created_at=stored.created_at)
        if not self.lagging:
            self.shown = copy.copy(self.hub)

    @rule(how=st.sampled_from(["written", "lost after", "lost before"]))
    def land(self, how: str) -> None:
        """What was under way is answered, while other things went on."""
        for id_ in list(self.ledger.flying):
            entry = self.ledger.entries[id_]
            shipped = next(import_ for other, import_ in reversed(self.late) if other == id_)
            self.late.remove((id_, shipped))
            if how != "lost before":
                self.write(id_, shipped)
            if how == "written":
                self.excused.discard(id_)
                self.ledger.acknowledge(entry, shipped, now=self.now)
            else:
                self.excused.add(id_)
                self.ledger.unanswered(entry, shipped)

    @rule(arrives=st.booleans())
    def arrive(self, arrives: bool) -> None:  # noqa: FBT001
        """What a dead process had sent is written now, or never."""
        for id_, import_ in list(self.late):
            if id_ in self.ledger.flying:
                continue
            self.late.remove((id_, import_))
            if arrives:
                self.write(id_, import_)
                self.excused.add(id_)

    @rule(fresh=st.booleans())
    def lag(self, fresh: bool) -> None:  # noqa: FBT001
        """Readers see the hub as it is, or from now on as it is now."""
        self.lagging = not fresh
        if fresh:
            self.shown = copy.copy(self.hub)

    # -- what holds -----------------------------------------------------------------------------------------------

    @invariant()
    def what_would_be_sent_is_dirty(self) -> None:
        """The dirty set is never smaller than what the full comparison would act on."""
        self.ledger.wake(self.now)
        for entry in self.ledger.entries.values():
            if entry.in_flight:
                continue
            if entry.known is None and not self.ledger.is_read(entry.id):
                assert not entry.wanted or entry.id in self.ledger.unread
            elif isinstance(decide(entry, ledger=self.ledger, rules=RULES, now=self.now), Change):
                assert entry.id in self.ledger.dirty

    @invariant()
    def first_times_stand(self) -> None:
        assert not self.moved

    def teardown(self) -> None:
        """Once faults stop, the hub has exactly the violations."""
        self.land("written")
        self.arrive(arrives=True)
        self.lag(fresh=True)
        for origin in ORIGINS:
            self.list_all(origin)
        for _ in range(6):
            self.inventory()
            for _ in range(4):
                self.discover()
                self.look(works=True)
                self.act(["accepted"])
                self.ledger.wake(self.now)
            self.wait(LONG, 0)
        wanted = {n for content in self.cluster.values() for n, words in content.items() if words != "pass"}
        assert {IDS[id_] for id_, known in self.hub.items() if not known.archived} == wanted
        assert not self.ledger.dirty
        assert not self.ledger.unread


Model.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None, derandomize=True)
TestModel = Model.TestCase
