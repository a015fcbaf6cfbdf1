"""Stories with one right end each, that no random driver comes by: `python -m tests.faults --story NAME`.

Each is played in an arena: a real API server behind the proxy, the local Security Hub, the operator as a process, and
an engine that is written here, as the real ones behave (docs/engines.md). A story says what was wrong at its end.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator

from dev.hub.process import HubProcess
from dev.stand import StandError
from tests.faults import fault
from tests.faults.arena import DELAY_SECONDS, Arena
from tests.integration.operator.test_operator_policies import KINDS, policy
from tests.integration.operator.test_operator_rollup import about, create, remove
from tests.integration.operator.world import Document, World, report, result

NUMBER = 60
"""More findings than the guard lets pass, so that it has something to weigh."""
SCAN_SECONDS = 0.4
"""From one report of a slow scan to the next: the whole takes eight archive delays."""
LATE_SECONDS = 8.0
"""How long a listing is held up: longer than an inventory of these few findings takes."""
LONG = 4 * 3600.0
"""Since when the report of an API that an engine left has not been written: it is left behind after three hours."""

UNSERVED_SECONDS = 180.0
"""That a kind is not served is believed when discovery has said so twice, and it is read every two minutes."""
POLICIES = ("/apis/kyverno.io", "/apis/templates.gatekeeper.sh")

Problems = Iterator[str]


Story = Callable[["Play"], Problems]
STORIES: dict[str, Story] = {}


def story(name: str) -> Callable[[Story], Story]:
    def keep(play: Story) -> Story:
        STORIES[name] = play
        return play

    return keep


class Play:
    """What a story does and sees."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.world: World = arena.world
        self.hub: HubProcess = arena.hub

    def begin(self, *documents: Document, active: int) -> None:
        """These objects, and an operator that has sent their findings."""
        self.world.apply(*documents)
        self.arena.monitor()
        self.arena.start()
        self.world.until(lambda: self.count("ACTIVE") == active, f"{active} findings")
        self.world.synced(self.arena.name)

    def again(self) -> None:
        """Killed and started."""
        self.arena.kill()
        self.arena.start()

    def count(self, state: str) -> int:
        return len(self.hub.findings(record_state=state))

    def states(self, policy: str) -> dict[str, str]:
        return self.world.states(policy, cluster=self.arena.name)

    def until(self, holds: Callable[[], bool], problem: str, *, seconds: float = 60.0) -> Problems:
        try:
            self.world.until(holds, problem, seconds=seconds)
        except StandError:
            yield problem

    def archived(self, policy: str) -> Problems:
        """All of a policy's findings, at once or once a person has approved."""

        def over() -> bool:
            return set(self.states(policy).values()) == {"ARCHIVED"}

        held = list(self.until(over, "held", seconds=10 * DELAY_SECONDS))
        if held:
            self.arena.approve("kyverno")
            yield from self.until(
                over, f"{policy} is not archived, although a person approved", seconds=UNSERVED_SECONDS
            )

    def rest(self, seconds: float = 4 * DELAY_SECONDS) -> None:
        """Long enough for what waits for a delay to be done, if it is done."""
        time.sleep(seconds)  # nothing is to happen: no event ends it


def needless(entries: list[Document]) -> Problems:
    """Where nothing was to be sent."""
    for outcome, number in Counter(entry["outcome"] for entry in entries).items():
        yield f"{number} imports that nothing called for: {outcome}"


def violated(name: str, number: int) -> list[Document]:
    return [report(f"{name}-{index}", result(name)) for index in range(number)]


@story("reports wiped while the engine scans slowly")
def wiped(play: Play) -> Problems:
    """All reports of an engine are deleted, and written again one by one, Pods first, Deployments later than an archive
    delay allows: no violation has ended. The policy looks at Deployments only, so what its engine says of Pods is no
    word about them.
    """
    names = [f"wiped-{index}" for index in range(NUMBER)]
    for name in names:
        deployment = create(play.world, "Deployment", name)
        create(play.world, "Pod", f"{name}-1-a", create(play.world, "ReplicaSet", f"{name}-1", deployment))
    pods = [about("Pod", f"{name}-1-a", result("other", result="pass")) for name in names]
    deployments = [about("Deployment", name, result("wiped")) for name in names]
    play.begin(*pods, *deployments, active=NUMBER)
    mark = play.world.mark()
    play.world.delete(*pods, *deployments)
    for document in pods:
        play.world.apply(document)
    play.rest()
    for document in deployments:
        time.sleep(SCAN_SECONDS)  # the pace of the scan
        play.world.apply(document)
    play.rest()
    yield from needless(play.world.journal(mark))
    if play.states("wiped") != dict.fromkeys(names, "ACTIVE"):
        yield "findings of violations that never ended are not active"


@story("an engine that writes only what fails")
def failing_only(play: Play) -> Problems:
    """`--allowedResults=fail`: a rollout mends a Deployment, the old Pod goes with its report, and nothing ever says
    `pass`. The finding ends, or a person can end it.
    """
    deployment = create(play.world, "Deployment", "web")
    old = create(play.world, "ReplicaSet", "web-1", deployment)
    create(play.world, "Pod", "web-1-a", old)
    reports = [about("Deployment", "web", result("fails")), about("Pod", "web-1-a", result("fails"))]
    play.begin(*reports, active=1)
    create(play.world, "Pod", "web-2-a", create(play.world, "ReplicaSet", "web-2", deployment))
    remove(play.world, "Pod", "web-1-a")
    remove(play.world, "ReplicaSet", "web-1")
    play.world.delete(*reports)
    yield from play.archived("fails")


@story("a policy that matches Deployments only is deleted")
def narrow(play: Play) -> Problems:
    """Its engine has never said anything of the Pods, and never will: that it has not is no reason to wait."""
    deployment = create(play.world, "Deployment", "web")
    create(play.world, "Pod", "web-1-a", create(play.world, "ReplicaSet", "web-1", deployment))
    others = result("stays", result="pass")
    play.begin(about("Deployment", "web", result("narrow"), others), active=1)
    play.world.apply(about("Deployment", "web", others))
    yield from play.archived("narrow")


@story("a report API that was left, and a reconnect")
def left_behind(play: Play) -> Problems:
    """Reports of the API that an engine has left say `fail` of what it mended since. A reconnect by a new token and a
    restart do not bring them back to life.
    """
    before = {"seconds": int(time.time() - LONG), "nanos": 0}
    play.begin(*(report(f"app-{index}", result("left", timestamp=before)) for index in range(10)), active=10)
    play.world.apply(*(report(f"app-{index}", result("left", result="pass"), kind="Report") for index in range(10)))
    yield from play.until(lambda: set(play.states("left").values()) == {"ARCHIVED"}, "what was mended is not archived")
    mark = play.world.mark()
    play.arena.gate.revoke(play.arena.token())
    play.rest(2 * DELAY_SECONDS)
    play.arena.sign_in()
    play.rest()
    play.again()
    play.world.synced(play.arena.name)
    play.rest()
    yield from needless(play.world.journal(mark))


@story("policies that may not be read at a start")
def unread_policies(play: Play) -> Problems:
    """For a few seconds the API server refuses what findings are worded and rated by: nothing is reworded, re-rated or
    ended.
    """
    play.world.cluster.apply(KINDS)
    reports = violated("require-probes", 5)
    told = policy("require-probes", title="Require Probes", severity="high")
    try:
        play.begin(told, *reports, active=5)
        titled = [finding["Title"] for finding in play.hub.findings()]
        if not all(title.startswith("Require Probes") for title in titled):
            yield "the policy does not word its findings in the first place"
        mark = play.world.mark()
        play.arena.gate.misbehave(fault.refused(403, "Forbidden", below=POLICIES, fits=fault.listings, share=1.0))
        play.again()
        play.rest(2 * DELAY_SECONDS)
        if not play.arena.gate.behave():
            yield "nothing was refused, so this shows nothing"
        play.world.synced(play.arena.name)
        play.rest()
        yield from needless(play.world.journal(mark))
    finally:
        for crd in KINDS:
            plural, _, group = crd["metadata"]["name"].partition(".")
            play.world.cluster.remove_crd(plural, group)


@story("a listing that is slower than the inventory")
def slow_listing(play: Play) -> Problems:
    """One object has reports in both APIs, and one of them is listed long after Security Hub was read: what is half
    known until then is not sent.
    """
    play.begin(
        *(report(f"app-{index}", result("both", severity="low")) for index in range(10)),
        *(report(f"app-{index}", result("both", severity="high"), kind="Report") for index in range(10)),
        active=10,
    )
    mark = play.world.mark()
    for group in ("/apis/openreports.io", "/apis/wgpolicyk8s.io"):
        play.arena.gate.misbehave(fault.late(LATE_SECONDS, below=(group,)))
        play.again()
        play.rest(LATE_SECONDS + DELAY_SECONDS)
        if not play.arena.gate.behave():
            yield f"no listing of {group} was late, so this shows nothing"
        play.world.synced(play.arena.name)
    play.rest()
    yield from needless(play.world.journal(mark))


@story("Security Hub is switched off, and comes back empty")
def emptied(play: Play) -> Problems:
    """What AWS does when Security Hub is disabled: all that the cluster reports is created again."""
    play.begin(*violated("emptied", NUMBER), active=NUMBER)
    play.hub.enable(on=False)
    play.world.apply(report("one-more", result("emptied")))
    yield from play.until(
        lambda: play.world.condition("HubReachable", play.arena.name)["status"] == "False", "nobody noticed"
    )
    play.hub.reset()
    play.hub.enable(on=True)
    yield from play.until(lambda: play.count("ACTIVE") == NUMBER + 1, "not all findings are there again a minute later")


def play(arena: Arena, name: str) -> list[str]:
    """What was wrong; nothing where all is as it should be."""
    arena.reset(seed=1)
    try:
        return list(STORIES[name](Play(arena)))
    finally:
        arena.calm()
        arena.world.clear()


def line(name: str, problems: list[str], *, seconds: float) -> str:
    verdict = "BROKEN" if problems else "ok"
    return "\n".join([f"{verdict}  {name}, {seconds:.0f} s", *(f"    {problem}" for problem in problems)])
