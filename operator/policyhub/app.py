"""`policyhub run`: one event loop for the data planes, the hubs and the probes; kopf in another thread; SIGTERM drains.

With a lease, everything is created and connected first, and the work starts when this replica holds the lease.

Order at the end: stop watching MonitoredClusters, send pending findings (at most `DRAIN_SECONDS`), stop the data
planes, stop the engines, release the lease. Findings that could not be sent are found again at the next start, in the
clusters. A lost lease ends the process at once.
"""

import asyncio
import contextlib
import os
import random
import resource
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import kopf
import structlog
from prometheus_client import CollectorRegistry

import policyhub
from policyhub import kopf_adapter
from policyhub.clock import UNDATED, SteadyMs, WallMs
from policyhub.cluster import approval
from policyhub.clusterdiscovery.controller import Discoveries
from policyhub.control import reporter
from policyhub.control.hub_registry import Hubs
from policyhub.control.stall_guard import StallGuard
from policyhub.control.supervisor import Supervisor
from policyhub.eks.connector import EksClusters
from policyhub.findings.asff import timestamp
from policyhub.kube.connection import Connection
from policyhub.kube.kubeconfig import KubeconfigError
from policyhub.kube.lease import Lease, name_of
from policyhub.metrics import server
from policyhub.metrics.definitions import Metrics
from policyhub.securityhub.credentials import CALL_SECONDS
from policyhub.settings import Settings
from policyhub.sync.predecessor import Predecessor

log = structlog.get_logger(__name__)

DRAIN_SECONDS = 15.0
"""A stop may take 20 s; the rest is for closing connections."""
LEASE_LOST = 3
"""The exit code of a process that lost its lease."""
LAST_WORDS_SECONDS = 0.5
"""How long the last log line may take; less than `lease.Timing.margin`."""
KOPF_SECONDS = 2.0
"""How long a stop waits for kopf to end: it holds nothing that could be lost."""
FILES = 65_536
"""Open files, if the hard limit allows them: enough for some sixty clusters with the maximum number of kinds."""


def wall_ms() -> WallMs:
    """Unix milliseconds of the wall clock: for findings, and for comparisons with other clocks."""
    return WallMs(time.time_ns() // 1_000_000)


def monotonic_ms(start: WallMs) -> Callable[[], SteadyMs]:
    """Unix milliseconds of a monotonic clock that starts at `start`: for delays."""
    offset = int(start) - time.monotonic_ns() // 1_000_000
    return lambda: SteadyMs(offset + time.monotonic_ns() // 1_000_000)


def monotonic() -> float:
    """Seconds of a monotonic clock that runs while the machine sleeps, as other machines' clocks do."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def approve(cluster: str, *, source: str, minutes: int) -> str:
    """Approve a source's held bulk archive; returns when the approval ends. Raises KubeconfigError, Refused,
    Unreachable.
    """
    now = wall_ms()
    until = now + minutes * 60_000
    async with await Connection.home() as home:
        await approval.approve(home, f"{reporter.RESOURCE}/{cluster}", source=source, until=until, now=now)
    return timestamp(until)


def open_lease(settings: Settings, home: Connection) -> Lease | None:
    """The lease that the settings name."""
    if settings.lease is None:
        return None
    return Lease(
        home,
        namespaced_name=settings.lease,
        identity=name_of(os.environ, host=socket.gethostname(), unique=str(uuid.uuid4())),
        clock=monotonic,
        wall_clock=lambda: datetime.now(UTC),
    )


async def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    _raise_file_limit()
    registry = CollectorRegistry()
    metrics = Metrics(registry, version=policyhub.__version__, namespaces=settings.metrics_namespaces)
    rng = random.Random()  # noqa: S311  (jitter, not secrets)
    now = monotonic_ms(wall_ms())
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        home = await Connection.home()
    except KubeconfigError as error:
        log.error("no_home_cluster", message=str(error))  # noqa: TRY400  (no traceback: the message is enough)
        return 2
    lease = open_lease(settings, home)
    control = Control()
    async with (
        home,
        server.serve(
            host=settings.metrics_host,
            port=settings.metrics_port,
            registry=registry,
            not_ready_reason=lambda: _not_ready_reason(control, lease),
            on_refused=lambda reason: metrics.http_refused.labels(reason).inc(),
        ) as port,
    ):
        log.info("started", version=policyhub.__version__, server=home.server, metrics_port=port)
        stall_guard = StallGuard(sharded=settings.watch_selector is not None, clock=monotonic)

        def may_send(seconds: float) -> bool:
            return stall_guard.permits_calls() and (lease is None or lease.permits(seconds))

        hubs = Hubs(
            settings=settings,
            metrics=metrics,
            now=now,
            wall=wall_ms,
            rng=rng,
            may_send=may_send,
        )
        eks = EksClusters(
            now=lambda: SteadyMs(int(monotonic() * 1000)), hosts=settings.eks_endpoint_hosts, loader=hubs.loader
        )
        discoveries = Discoveries(home=home, eks=eks, settings=settings, metrics=metrics, clock=time.monotonic)
        supervisor = Supervisor(
            home=home,
            hubs=hubs,
            settings=settings,
            metrics=metrics,
            now=now,
            wall=wall_ms,
            clock=time.monotonic,
            rng=rng,
            open_home=Connection.home,
            eks=eks,
        )
        stopped = asyncio.create_task(stop.wait())
        if lease is not None and not await wait_for_lease(lease, stopped):
            log.info("stopped", seconds=0.0)
            return 0
        metrics.leader.set(1)
        renewed = lease.last_renewed if lease is not None else None
        supervisor.predecessor = Predecessor(
            started=wall_ms(), renewed=UNDATED if renewed is None else WallMs(int(renewed.timestamp() * 1000))
        )
        return await work(supervisor, hubs, control, lease, stopped, discoveries=discoveries, stall_guard=stall_guard)


async def work(
    supervisor: Supervisor,
    hubs: Hubs,
    control: "Control",
    lease: Lease | None,
    stopped: "asyncio.Task[Any]",
    *,
    discoveries: Discoveries,
    stall_guard: StallGuard,
) -> int:
    """Work as the leader until `stopped` is done; returns the exit code."""
    works = [
        asyncio.create_task(control.run(supervisor, asyncio.get_running_loop()), name="kopf"),
        asyncio.create_task(supervisor.report(), name="status"),
        asyncio.create_task(supervisor.compare(), name="compare"),
        asyncio.create_task(discoveries.run(), name="discovery"),
        asyncio.create_task(stall_guard.run(supervisor.confirm), name="mandate"),
    ]
    if lease is not None:
        works.append(asyncio.create_task(lease.keep_renewed(), name="lease"))
        lease.call_when_lost(lambda: _end_at_once(lease))
    done, _ = await asyncio.wait([stopped, *works], return_when=asyncio.FIRST_COMPLETED)
    failed = stopped not in done
    for task in done - {stopped}:
        log.error("loop_ended", loop=task.get_name(), error=repr(task.exception()))
    log.info("stopping")
    started = time.monotonic()
    control.stop.set()
    works[3].cancel()  # it creates MonitoredClusters, which nobody would start now
    await hubs.drain(seconds=DRAIN_SECONDS)
    await supervisor.close()
    idle = await hubs.close(seconds=0.0 if lease is None else CALL_SECONDS)
    for task in (stopped, *works[1:]):
        task.cancel()
    await asyncio.gather(stopped, *works[1:], return_exceptions=True)
    if lease is not None and idle:
        await lease.release()
    elif lease is not None:  # another replica starts when it expires, and this process has ended by then
        log.warning("lease_left", lease=lease.namespaced_name)
    await asyncio.wait([works[0]], timeout=KOPF_SECONDS)
    log.info("stopped", seconds=round(time.monotonic() - started, 2))
    return 1 if failed else 0


async def wait_for_lease(lease: Lease, stopped: "asyncio.Task[Any]") -> bool:
    """Wait for the lease; returns whether it was acquired before `stopped` was done."""
    taking = asyncio.create_task(lease.acquire(), name="stand by")
    await asyncio.wait([taking, stopped], return_when=asyncio.FIRST_COMPLETED)
    if not stopped.done():
        taking.result()
        return True
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    await lease.release()
    return False


def _raise_file_limit() -> None:
    """Each watched kind needs a socket; one cluster with 1,000 kinds must not use up those of all others.

    Container runtimes set a soft limit of 1,024 and a hard one of a million, for programs that use select.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _not_ready_reason(control: "Control", lease: Lease | None) -> str:
    """Why /readyz fails; empty if ready. A standby replica is ready: it would work if it had the lease."""
    if lease is not None and lease.holder != lease.identity:
        reason = lease.last_error or ("" if lease.observed else "not read yet")
        return reason and f"the lease {lease.namespaced_name}: {reason}"
    return "" if control.ready.is_set() else "the MonitoredClusters have not been read yet"


def _end_at_once(lease: Lease) -> None:
    """Exit without waiting for AWS calls or the event loop: another replica may start in a second."""
    hurry = threading.Timer(LAST_WORDS_SECONDS, os._exit, (LEASE_LOST,))  # if the log cannot be written
    hurry.daemon = True
    hurry.start()
    log.error("lease_lost", lease=lease.namespaced_name, reason=lease.lost)
    os._exit(LEASE_LOST)


class Control:
    """Runs kopf in its own thread and loop: it handles signals, and when it ends, it cancels every task of its loop."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.ready = threading.Event()

    async def run(self, supervisor: Supervisor, loop: asyncio.AbstractEventLoop) -> None:
        """Run until `stop` is set. Raises what kopf raises."""
        ended: asyncio.Future[None] = loop.create_future()

        def work() -> None:
            error: BaseException | None = None
            try:
                asyncio.run(
                    kopf.operator(
                        registry=kopf_adapter.registry(supervisor, loop),
                        settings=kopf_adapter.settings(),
                        # Without one kopf reads the user's name, and the user id of a container may have none.
                        identity=cast("Any", "policyhub"),
                        standalone=True,
                        clusterwide=True,
                        stop_flag=self.stop,
                        ready_flag=self.ready,
                    )
                )
            except BaseException as fault:  # noqa: BLE001  (passed on to the loop that waits)
                error = fault
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
                loop.call_soon_threadsafe(_end, ended, error)

        threading.Thread(target=work, name="kopf", daemon=True).start()
        await ended


def _end(ended: "asyncio.Future[None]", error: BaseException | None) -> None:
    if ended.done():
        return
    if error is None:
        ended.set_result(None)
    else:
        ended.set_exception(error)
