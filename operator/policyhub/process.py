"""`policyhub run`: one event loop with the data planes, the hubs and the probes; kopf beside it; SIGTERM drains it.

Order at the end: stop watching MonitoredClusters, let the hubs take what is pending (at most `DRAIN_SECONDS`), stop the
data planes, stop the engines. What could not be sent is found again at the next start: it is in the clusters.
"""

import asyncio
import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable

import kopf
import structlog
from prometheus_client import CollectorRegistry

import policyhub
from policyhub import handlers, probes
from policyhub.hubs import Hubs
from policyhub.kube.connection import SERVICE_ACCOUNT, Connection
from policyhub.kube.kubeconfig import KubeconfigError
from policyhub.metrics import Metrics
from policyhub.settings import Settings

log = structlog.get_logger(__name__)

DRAIN_SECONDS = 15.0
"""Of the 20 s that a stop may take; the rest is for closing connections."""
KOPF_SECONDS = 2.0
"""How long kopf's end is waited for: it holds nothing that could be lost."""


def wall_ms() -> int:
    """Unix milliseconds by the clock on the wall: what is written into findings and compared with other clocks."""
    return time.time_ns() // 1_000_000


def steady_ms(start: int) -> Callable[[], int]:
    """Unix milliseconds by a clock that begins at `start` and never jumps: what delays are counted by."""
    offset = start - time.monotonic_ns() // 1_000_000
    return lambda: offset + time.monotonic_ns() // 1_000_000


async def open_home() -> Connection:
    """The cluster that our own objects live in: the Pod's, else that of KUBECONFIG. Raises KubeconfigError."""
    if (SERVICE_ACCOUNT / "token").exists():
        return await Connection.in_cluster()
    return await Connection.from_file(os.environ.get("KUBECONFIG", "~/.kube/config"))


async def run(settings: Settings) -> int:
    """Until SIGTERM or SIGINT; the exit code."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    rng = random.Random()  # noqa: S311  (jitter, not secrets)
    now = steady_ms(wall_ms())
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        home = await open_home()
    except KubeconfigError as error:
        log.error("no_home_cluster", message=str(error))  # noqa: TRY400  (the message says it all)
        return 2
    control = Control()
    async with (
        home,
        probes.serve(
            host=settings.metrics_host, port=settings.metrics_port, registry=registry, ready=control.ready.is_set
        ) as port,
    ):
        log.info("started", version=policyhub.__version__, server=home.server, metrics_port=port)
        hubs = Hubs(settings=settings, metrics=metrics, now=now, wall=wall_ms, rng=rng)
        supervisor = handlers.Supervisor(
            home=home,
            hubs=hubs,
            settings=settings,
            metrics=metrics,
            now=now,
            wall=wall_ms,
            clock=time.monotonic,
            rng=rng,
            open_home=open_home,
        )
        works = [
            asyncio.create_task(control.run(supervisor, loop), name="kopf"),
            asyncio.create_task(supervisor.report(), name="status"),
            asyncio.create_task(supervisor.compare(), name="compare"),
        ]
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([stopped, *works], return_when=asyncio.FIRST_COMPLETED)
        failed = stopped not in done
        for task in done - {stopped}:
            log.error("loop_ended", loop=task.get_name(), error=repr(task.exception()))
        log.info("stopping")
        started = time.monotonic()
        control.stop.set()
        await hubs.drain(seconds=DRAIN_SECONDS)
        await supervisor.close()
        await hubs.close()
        for task in (stopped, *works[1:]):
            task.cancel()
        await asyncio.wait([works[0]], timeout=KOPF_SECONDS)
        log.info("stopped", seconds=round(time.monotonic() - started, 2))
    return 1 if failed else 0


class Control:
    """kopf in a thread and loop of its own: at its end it cancels every task of its loop, and it takes the signals."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.ready = threading.Event()

    async def run(self, supervisor: handlers.Supervisor, loop: asyncio.AbstractEventLoop) -> None:
        """Until `stop`; raises what kopf raises."""
        ended: asyncio.Future[None] = loop.create_future()

        def work() -> None:
            error: BaseException | None = None
            try:
                asyncio.run(
                    kopf.operator(
                        registry=handlers.registry(supervisor, loop),
                        settings=handlers.settings(),
                        standalone=True,
                        clusterwide=True,
                        stop_flag=self.stop,
                        ready_flag=self.ready,
                    )
                )
            except BaseException as fault:  # noqa: BLE001  (handed on to the loop that waits)
                error = fault
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
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
