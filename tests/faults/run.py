"""One run: a world, a fault that comes and goes, a driver that changes the cluster meanwhile; then the verdict."""

import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dev import stand
from dev.cluster import ControlPlane
from dev.hub.process import HubProcess
from tests.faults import checker, proxy
from tests.faults.checker import Verdict
from tests.faults.driver import ENGINES, Driver
from tests.faults.proxy import Proxy
from tests.integration.operator.world import CLUSTERS, World
from tests.integration.operator.world import ENGINES as CRDS

DELAY_SECONDS = 3
SETTINGS = {
    "POLICYHUB_DISCOVERY_INTERVAL": "0.5",
    "POLICYHUB_RELIST_INTERVAL": "10",
}
CONVERGE_SECONDS = 150.0
"""Back-offs of a minute end within it."""
SLACK_SECONDS = DELAY_SECONDS + 5.0
"""An archive is right if the violation was absent at some time so shortly before it."""
STALE_SECONDS = 3 * proxy.STALL_SECONDS
"""How much later news may come where watches stall: an accepted watch that says nothing is like one of a quiet cluster,
and the next one may stall again."""
PACE = 60.0
AUDIT_SECONDS = 5.0
CLOCK = Path(__file__).parent / "clock"


class Arena:
    """A cluster behind a proxy, a hub, and an operator; cleared between runs."""

    def __init__(self, world: World, gate: Proxy, folder: Path) -> None:
        self.world = world
        self.gate = gate
        self.folder = folder
        self.offset = folder / "offset"
        config = json.loads(world.installed.kubeconfig().read_text())
        for entry in config["clusters"]:
            entry["cluster"] = {"server": gate.url}
        self._kubeconfig = folder / "proxy.kubeconfig"
        self._kubeconfig.write_text(json.dumps(config))

    @classmethod
    @contextmanager
    def open(cls, plane: ControlPlane, folder: Path) -> Iterator["Arena"]:
        cluster = plane.cluster("faults")
        installed = stand.install(cluster, folder, values={"clusterName": "faults"})
        cluster.apply(CRDS)
        with HubProcess.start() as hub, Proxy(cluster.url, ca=cluster.ca or "") as gate:
            yield cls(World(installed, hub), gate, folder)

    @property
    def hub(self) -> HubProcess:
        return self.world.hub

    def start(self) -> None:
        settings = {**SETTINGS, "KUBECONFIG": str(self._kubeconfig), "FAKE_OFFSET": str(self.offset)}
        self.world.start(wait=True, **settings, PYTHONPATH=str(CLOCK))

    def jump(self, seconds: int) -> None:
        self.offset.write_text(str(seconds))


Trouble = Callable[[Arena, random.Random], Callable[[], object]]
"""Begins a fault; returns what ends it."""


def api(fault: proxy.Fault, *, share: float = 0.5, everything: bool = False) -> Trouble:
    def begin(arena: Arena, _: random.Random) -> Callable[[], object]:
        arena.gate.misbehave(fault, share=share, everything=everything)
        return lambda: arena.gate.misbehave(None)

    return begin


def aws(kind: str, **options: object) -> Trouble:
    def begin(arena: Arena, rng: random.Random) -> Callable[[], object]:
        number = arena.hub.fault(kind, seed=rng.randrange(1000), **options)
        return lambda: arena.hub.clear_fault(number)

    return begin


def disabled(arena: Arena, _: random.Random) -> Callable[[], object]:
    arena.hub.enable(on=False)
    return lambda: arena.hub.enable(on=True)


def killed(arena: Arena, _: random.Random) -> Callable[[], object]:
    arena.world.operator.kill()
    arena.start()
    return lambda: None


def ended(arena: Arena, _: random.Random) -> Callable[[], object]:
    arena.world.operator.stop()
    arena.start()
    return lambda: None


def two_at_once(arena: Arena, _: random.Random) -> Callable[[], object]:
    """As where nothing keeps two replicas apart: the older one goes when the younger one is at work."""
    older = arena.world.operator
    arena.start()
    return older.kill


def clock(arena: Arena, rng: random.Random) -> Callable[[], object]:
    arena.jump(rng.choice((-7200, -600, 600, 7200)))
    return lambda: None


TROUBLES: dict[str, Trouble] = {
    "none": lambda _, __: lambda: None,
    "api: connections cut": api(proxy.cut),
    "api: stalled": api(proxy.stall),
    "api: 410 watch": api(proxy.expired),
    "api: 410 in the watch": api(proxy.expired_in_watch),
    "api: 429": api(proxy.status(429, "TooManyRequests", **{"Retry-After": "1"})),
    "api: 500": api(proxy.status(500, "InternalError")),
    "api: 503": api(proxy.status(503, "ServiceUnavailable")),
    "api: 403": api(proxy.status(403, "Forbidden"), share=0.8),
    "api: 401": api(proxy.status(401, "Unauthorized")),
    "api: group 404": api(proxy.group_missing, share=0.9),
    "api: discovery 503": api(proxy.discovery, share=0.7),
    "api: answers torn": api(proxy.torn),
    "api: slow bytes": api(proxy.slow),
    "api: home too, 500": api(proxy.status(500, "InternalError"), everything=True),
    "hub: throttled": aws("throttle", probability=0.7),
    "hub: 500": aws("error500", probability=0.6),
    "hub: time-out before": aws("timeout_before", probability=0.4, delay_seconds=1.0),
    "hub: time-out after": aws("timeout_after", probability=0.4, delay_seconds=1.0),
    "hub: partial failures": aws("partial", probability=0.7, share=0.3),
    "hub: reads lag": aws("lag", operation="GetFindings", delay_seconds=30.0),
    "hub: access denied": aws("access_denied", probability=0.8),
    "hub: no GetFindings": aws("access_denied", operation="GetFindings"),
    "hub: disabled": disabled,
    "operator: kill -9": killed,
    "operator: SIGTERM": ended,
    "operator: two at once": two_at_once,
    "operator: clock jumps": clock,
}
MIXED = "mixed"
FAULTS = (*TROUBLES, MIXED)


@dataclass
class Result:
    fault: str
    seed: int
    events: int
    seconds: float
    """From the last change to the state that should be; the limit where it was not reached."""
    verdict: Verdict

    @property
    def good(self) -> bool:
        return self.verdict.good


def run(arena: Arena, fault: str, *, seed: int, seconds: float) -> Result:
    """A run from a cleared world. `seconds` is how long the cluster changes while the fault comes and goes."""
    rng = random.Random(f"{fault} {seed}")  # noqa: S311  (repeatable)
    world = arena.world
    world.clear()
    arena.jump(0)
    arena.gate.rng.seed(seed)
    arena.hub.quotas(on=False)
    driver = Driver(world.cluster, arena.hub, seed=seed)
    try:
        driver.begin()
        world.monitor(archiveDelay=f"{DELAY_SECONDS}s")
        arena.start()
        world.until(lambda: not gaps(arena, driver), "the first findings", seconds=60)
        created = {finding["Id"]: finding["CreatedAt"] for finding in arena.hub.findings()}
        with ThreadPoolExecutor(1) as thread:
            changes = thread.submit(driver.run, seconds=seconds, pace=PACE)
            _trouble(arena, fault, rng, until=time.monotonic() + seconds)
            changes.result()
        waited = _converge(arena, driver)
        verdict = checker.judge(
            findings=arena.hub.findings(),
            journal=arena.hub.journal(),
            true=driver.violations(),
            existed=driver.existed,
            triage=driver.triage,
            created=created,
            still=driver.still,
            slack=SLACK_SECONDS + (STALE_SECONDS if fault in {MIXED, "api: stalled"} else 0.0),
        )
    finally:
        arena.gate.misbehave(None)
        arena.hub.clear_faults()
        arena.hub.enable(on=True)
        world.end()
        driver.clear()
    return Result(fault=fault, seed=seed, events=driver.events, seconds=waited, verdict=verdict)


def _trouble(arena: Arena, fault: str, rng: random.Random, *, until: float) -> None:
    """The fault comes for a few seconds and goes, again and again."""
    while time.monotonic() < until:
        name = rng.choice([name for name in TROUBLES if name != "none"]) if fault == MIXED else fault
        end = TROUBLES[name](arena, rng)
        time.sleep(rng.uniform(1.0, 4.0))  # how long the fault lasts
        end()
        time.sleep(rng.uniform(0.2, 1.5))  # and how long it stays away


def gaps(arena: Arena, driver: Driver) -> Verdict | None:
    """What is not yet as it should be."""
    verdict = checker.compare(arena.hub.findings(), driver.violations())
    return None if verdict.good else verdict


def _converge(arena: Arena, driver: Driver) -> float:
    """What the guard holds is approved: here, every loss is real."""
    until = datetime.now(UTC) + timedelta(hours=1)
    approved = ",".join(f"{engine}@{until:%Y-%m-%dT%H:%M:%SZ}" for engine in (*ENGINES, "gatekeeper"))
    annotation = {"metadata": {"annotations": {"policyhub.dev/approve-archive": approved}}}
    arena.world.cluster.request("PATCH", f"{CLUSTERS}/faults", annotation)
    started = time.monotonic()
    audited = float("-inf")

    def settled() -> bool:
        nonlocal audited
        if time.monotonic() - audited > AUDIT_SECONDS:  # audits go on, as in life
            driver.end()
            audited = time.monotonic()
        return gaps(arena, driver) is None

    with contextlib.suppress(stand.StandError):  # what is still missing is the checker's to say
        stand.until(settled, seconds=CONVERGE_SECONDS, what="the state that should be", every=0.25)
    waited = time.monotonic() - started
    time.sleep(DELAY_SECONDS + 1)  # what is archived by mistake now would not come back by itself
    return waited
