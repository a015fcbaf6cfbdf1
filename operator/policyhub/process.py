"""`policyhub run`: one event loop with kopf, the data planes and the probes; SIGTERM drains it.

Order at the end: stop watching MonitoredClusters, let the hubs take what is pending (at most `DRAIN_SECONDS`), stop the
data planes, stop the engines. What could not be sent is found again at the next start: it is in the clusters.
"""

import asyncio
import os
import random
import signal
import time

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


def unix_ms() -> int:
    return time.time_ns() // 1_000_000


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
    stop, ready = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        home = await open_home()
    except KubeconfigError as error:
        log.error("no_home_cluster", message=str(error))  # noqa: TRY400  (the message says it all)
        return 2
    async with (
        home,
        probes.serve(
            host=settings.metrics_host, port=settings.metrics_port, registry=registry, ready=ready.is_set
        ) as port,
    ):
        log.info("started", version=policyhub.__version__, server=home.server, metrics_port=port)
        hubs = Hubs(settings=settings, metrics=metrics, now=unix_ms, rng=rng)
        supervisor = handlers.Supervisor(
            home=home,
            hubs=hubs,
            settings=settings,
            metrics=metrics,
            now=unix_ms,
            clock=time.monotonic,
            rng=rng,
            open_home=open_home,
        )
        control = asyncio.create_task(
            kopf.operator(
                registry=handlers.registry(supervisor),
                settings=handlers.settings(),
                standalone=True,
                clusterwide=True,
                stop_flag=stop,
                ready_flag=ready,
            )
        )
        others = [asyncio.create_task(supervisor.report()), asyncio.create_task(supervisor.compare())]
        stopped = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([control, stopped, *others], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopped}:
                task.result()  # a loop that ends by itself is a failure
            failed = stopped not in done
        finally:
            stop.set()
            log.info("stopping")
            started = time.monotonic()
            await hubs.drain(seconds=DRAIN_SECONDS)
            await supervisor.close()
            await hubs.close()
            for task in others:
                task.cancel()
            await asyncio.wait([control], timeout=3)
            control.cancel()
            await asyncio.gather(control, *others, return_exceptions=True)
            log.info("stopped", seconds=round(time.monotonic() - started, 2))
    return 1 if failed else 0
