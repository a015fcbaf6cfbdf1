"""Scripted stories with one right outcome each, which random changes do not reach: `python -m tests.faults --story
NAME`.

Each runs in the harness: a real API server behind the proxy, the local Security Hub, the operator as a process, and
engines that are scripted here after the behaviour of the real ones (docs/engines.md). A story yields the problems that
it finds.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator

from dev.hub.process import HubProcess
from dev.testbed import OperatorError
from tests.faults import fault
from tests.faults.harness import DELAY_SECONDS, Harness
from tests.integration.operator.test_operator_policies import KINDS, policy
from tests.integration.operator.test_operator_rollup import about, create, remove
from tests.integration.operator.world import Document, World, report, result

NUMBER = 60
"""More findings than the guard lets pass unheld."""
SCAN_SECONDS = 0.4
"""Pause between two reports of a slow scan: the whole scan takes eight archive delays."""
LATE_SECONDS = 8.0
"""How long a list is delayed: longer than an inventory of these few findings takes."""
LONG = 4 * 3600.0
"""Age of the last write in a report API that the engine no longer uses: it is superseded after three hours."""

UNSERVED_SECONDS = 180.0
"""A kind counts as no longer served after two discoveries, and discovery runs every two minutes."""
POLICIES = ("/apis/kyverno.io", "/apis/templates.gatekeeper.sh")

Problems = Iterator[str]


Story = Callable[["StoryRun"], Problems]
STORIES: dict[str, Story] = {}


def story(name: str) -> Callable[[Story], Story]:
    def register(run: Story) -> Story:
        STORIES[name] = run
        return run

    return register


class StoryRun:
    """The operations of a story."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.world: World = harness.world
        self.hub: HubProcess = harness.hub

    def begin(self, *documents: Document, active: int) -> None:
        """Apply these objects, and start an operator that sends their findings."""
        self.world.apply(*documents)
        self.harness.monitor()
        self.harness.start()
        self.world.until(lambda: self.count("ACTIVE") == active, f"{active} findings")
        self.world.synced(self.harness.name)

    def restart(self) -> None:
        """Kill the operator and start it again."""
        self.harness.kill()
        self.harness.start()

    def count(self, state: str) -> int:
        return len(self.hub.findings(record_state=state))

    def states(self, policy: str) -> dict[str, str]:
        return self.world.states(policy, cluster=self.harness.name)

    def until(self, holds: Callable[[], bool], problem: str, *, seconds: float = 60.0) -> Problems:
        try:
            self.world.until(holds, problem, seconds=seconds)
        except OperatorError:
            yield problem

    def archived(self, policy: str) -> Problems:
        """All findings of a policy are archived, at once or after an approval."""

        def over() -> bool:
            return set(self.states(policy).values()) == {"ARCHIVED"}

        held = list(self.until(over, "held", seconds=10 * DELAY_SECONDS))
        if held:
            self.harness.approve("kyverno")
            yield from self.until(
                over, f"{policy} is not archived, although a person approved", seconds=UNSERVED_SECONDS
            )

    def rest(self, seconds: float = 4 * DELAY_SECONDS) -> None:
        """Wait long enough for every delayed action."""
        time.sleep(seconds)  # nothing should happen, so there is no event to wait for


def unneeded_imports(entries: list[Document]) -> Problems:
    """Imports although nothing has changed."""
    for outcome, number in Counter(entry["outcome"] for entry in entries).items():
        yield f"{number} unneeded imports: {outcome}"


def violated(name: str, number: int) -> list[Document]:
    return [report(f"{name}-{index}", result(name)) for index in range(number)]


@story("reports wiped while the engine scans slowly")
def wiped(run: StoryRun) -> Problems:
    """All reports of an engine are deleted and written again one by one, Pods first, Deployments later than an archive
    delay: no violation has ended. The policy matches Deployments only, so the engine's results on Pods are no evidence
    about it.
    """
    names = [f"wiped-{index}" for index in range(NUMBER)]
    for name in names:
        deployment = create(run.world, "Deployment", name)
        create(run.world, "Pod", f"{name}-1-a", create(run.world, "ReplicaSet", f"{name}-1", deployment))
    pods = [about("Pod", f"{name}-1-a", result("other", result="pass")) for name in names]
    deployments = [about("Deployment", name, result("wiped")) for name in names]
    run.begin(*pods, *deployments, active=NUMBER)
    mark = run.world.mark()
    run.world.delete(*pods, *deployments)
    for document in pods:
        run.world.apply(document)
    run.rest()
    for document in deployments:
        time.sleep(SCAN_SECONDS)  # the pace of the scan
        run.world.apply(document)
    run.rest()
    yield from unneeded_imports(run.world.journal(mark))
    if run.states("wiped") != dict.fromkeys(names, "ACTIVE"):
        yield "findings of violations that never ended are not active"


@story("an engine that writes only what fails")
def failing_only(run: StoryRun) -> Problems:
    """`--allowedResults=fail`: a rollout fixes a Deployment, the old Pod and its report are deleted, and no report ever
    states `pass`. The finding is archived, at the latest after an approval.
    """
    deployment = create(run.world, "Deployment", "web")
    old = create(run.world, "ReplicaSet", "web-1", deployment)
    create(run.world, "Pod", "web-1-a", old)
    reports = [about("Deployment", "web", result("fails")), about("Pod", "web-1-a", result("fails"))]
    run.begin(*reports, active=1)
    create(run.world, "Pod", "web-2-a", create(run.world, "ReplicaSet", "web-2", deployment))
    remove(run.world, "Pod", "web-1-a")
    remove(run.world, "ReplicaSet", "web-1")
    run.world.delete(*reports)
    yield from run.archived("fails")


@story("a policy that matches Deployments only is deleted")
def narrow(run: StoryRun) -> Problems:
    """The engine has never reported on the Pods, and never will: so the finding must not wait for that."""
    deployment = create(run.world, "Deployment", "web")
    create(run.world, "Pod", "web-1-a", create(run.world, "ReplicaSet", "web-1", deployment))
    others = result("stays", result="pass")
    run.begin(about("Deployment", "web", result("narrow"), others), active=1)
    run.world.apply(about("Deployment", "web", others))
    yield from run.archived("narrow")


@story("a report API that was left, and a reconnect")
def superseded_reports(run: StoryRun) -> Problems:
    """The superseded API still has `fail` results of violations that are fixed. A reconnect with a new token and a
    restart do not bring them back.
    """
    before = {"seconds": int(time.time() - LONG), "nanos": 0}
    run.begin(*(report(f"app-{index}", result("left", timestamp=before)) for index in range(10)), active=10)
    run.world.apply(*(report(f"app-{index}", result("left", result="pass"), kind="Report") for index in range(10)))
    yield from run.until(lambda: set(run.states("left").values()) == {"ARCHIVED"}, "fixed violations are not archived")
    mark = run.world.mark()
    run.harness.proxy.revoke(run.harness.token())
    run.rest(2 * DELAY_SECONDS)
    run.harness.renew_token()
    run.rest()
    run.restart()
    run.world.synced(run.harness.name)
    run.rest()
    yield from unneeded_imports(run.world.journal(mark))


@story("policies that may not be read at a start")
def unread_policies(run: StoryRun) -> Problems:
    """For a few seconds the API server refuses the policies that findings are worded and rated by: no finding changes
    or ends.
    """
    run.world.cluster.apply(KINDS)
    reports = violated("require-probes", 5)
    metadata = policy("require-probes", title="Require Probes", severity="high")
    try:
        run.begin(metadata, *reports, active=5)
        titled = [finding["Title"] for finding in run.hub.findings()]
        if not all(title.startswith("Require Probes") for title in titled):
            yield "the policy's title is not in its findings, so this proves nothing"
        mark = run.world.mark()
        run.harness.proxy.inject(fault.refused(403, "Forbidden", below=POLICIES, fits=fault.listings, share=1.0))
        run.restart()
        run.rest(2 * DELAY_SECONDS)
        if not run.harness.proxy.clear_fault():
            yield "no list was refused, so this proves nothing"
        run.world.synced(run.harness.name)
        run.rest()
        yield from unneeded_imports(run.world.journal(mark))
    finally:
        for crd in KINDS:
            plural, _, group = crd["metadata"]["name"].partition(".")
            run.world.cluster.remove_crd(plural, group)


@story("a listing that is slower than the inventory")
def slow_listing(run: StoryRun) -> Problems:
    """An object has reports in both APIs, and one API is listed long after the inventory: until then, only half is
    known, and nothing is sent.
    """
    run.begin(
        *(report(f"app-{index}", result("both", severity="low")) for index in range(10)),
        *(report(f"app-{index}", result("both", severity="high"), kind="Report") for index in range(10)),
        active=10,
    )
    mark = run.world.mark()
    for group in ("/apis/openreports.io", "/apis/wgpolicyk8s.io"):
        run.harness.proxy.inject(fault.late(LATE_SECONDS, below=(group,)))
        run.restart()
        run.rest(LATE_SECONDS + DELAY_SECONDS)
        if not run.harness.proxy.clear_fault():
            yield f"no list of {group} was delayed, so this proves nothing"
        run.world.synced(run.harness.name)
    run.rest()
    yield from unneeded_imports(run.world.journal(mark))


@story("Security Hub is switched off, and comes back empty")
def emptied(run: StoryRun) -> Problems:
    """What AWS does when Security Hub is disabled: all findings are created again."""
    run.begin(*violated("emptied", NUMBER), active=NUMBER)
    run.hub.enable(on=False)
    run.world.apply(report("one-more", result("emptied")))
    yield from run.until(
        lambda: run.world.condition("HubReachable", run.harness.name)["status"] == "False",
        "HubReachable never became False",
    )
    run.hub.reset()
    run.hub.enable(on=True)
    yield from run.until(lambda: run.count("ACTIVE") == NUMBER + 1, "not all findings are there again a minute later")


def run(harness: Harness, name: str) -> list[str]:
    """Run a story; returns its problems."""
    harness.reset(seed=1)
    try:
        return list(STORIES[name](StoryRun(harness)))
    finally:
        harness.calm()
        harness.world.clear()


def line(name: str, problems: list[str], *, seconds: float) -> str:
    verdict = "BROKEN" if problems else "ok"
    return "\n".join([f"{verdict}  {name}, {seconds:.0f} s", *(f"    {problem}" for problem in problems)])
