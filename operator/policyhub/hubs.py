"""The hubs that findings go to: one client and one engine for each (account, Region, role).

Quotas hold per account and Region, so all roles of one share its buckets.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

import policyhub
from policyhub.hub import bucket, credentials
from policyhub.hub.bucket import TokenBucket
from policyhub.hub.client import WORKERS, HubClient, workers
from policyhub.metrics import Metrics
from policyhub.settings import Settings
from policyhub.sync.engine import Engine

log = structlog.get_logger(__name__)

RESTART_SECONDS = 5.0

Key = tuple[str, str, str, str]
"""(account, Region, role ARN, external id)."""


class Hubs:
    """Opens hubs as they are asked for and keeps their engines running until closed."""

    def __init__(
        self,
        *,
        settings: Settings,
        metrics: Metrics,
        now: Callable[[], int],
        wall: Callable[[], int],
        rng: random.Random,
        permit: Callable[[float], bool],
    ) -> None:
        """`permit` as of `credentials.Clients`."""
        self._permit = permit
        self._settings = settings
        self._metrics = metrics
        self._now = now
        self._wall = wall
        self._rng = rng
        self._loader = credentials.models()
        self._buckets: dict[tuple[str, str], tuple[TokenBucket, TokenBucket]] = {}
        self._open: dict[Key, tuple[HubClient, Engine]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._executors: list[ThreadPoolExecutor] = []

    def open(self, key: Key) -> tuple[HubClient, Engine]:
        """The hub's client and its running engine. Raises botocore's UnknownRegionError."""
        if key not in self._open:
            account, region, role_arn, external_id = key
            share = self._settings.hub_quota_share
            imports, reads = self._buckets.setdefault(
                (account, region), (bucket.IMPORTS.bucket(share=share), bucket.READS.bucket(share=share))
            )
            name = f"{account}/{region}"
            executor, readers = workers(), workers()
            self._executors += executor, readers
            client = HubClient(
                account=account,
                region=region,
                partition=credentials.partition(region),
                clients=credentials.Clients(
                    region=region,
                    version=policyhub.__version__,
                    role_arn=role_arn,
                    external_id=external_id,
                    workers=2 * WORKERS,
                    loader=self._loader,
                    permit=self._permit,
                ),
                executor=executor,
                readers=readers,
                imports=imports,
                reads=reads,
                observer=lambda operation, code, seconds: self._observe(name, operation, code, seconds),
            )
            engine = Engine(
                hub=client,
                hub_name=name,
                metrics=self._metrics,
                now=self._now,
                wall=self._wall,
                clock=time.monotonic,
                rng=self._rng,
            )
            self._metrics.hub_rate_limit.labels(name, "BatchImportFindings").set_function(lambda: imports.rate)
            self._metrics.hub_rate_limit.labels(name, "GetFindings").set_function(lambda: reads.rate)
            self._open[key] = (client, engine)
            self._tasks.append(asyncio.create_task(self._keep(engine), name=f"engine {name}"))
        return self._open[key]

    def _observe(self, hub: str, operation: str, code: str, seconds: float) -> None:
        self._metrics.hub_requests.labels(hub, operation, code).inc()
        self._metrics.hub_request_seconds.labels(hub, operation, code).observe(seconds)

    async def _keep(self, engine: Engine) -> None:
        while True:
            try:
                await engine.run()
            except Exception:  # outermost loop: a mistake of ours at one hub must not stop the others
                log.exception("engine_failed", hub=engine.hub_name)
                await asyncio.sleep(RESTART_SECONDS)

    async def drain(self, *, seconds: float) -> None:
        """Let the engines send what is pending, at most this long."""
        await asyncio.gather(*(engine.drain(seconds=seconds) for _, engine in self._open.values()))

    async def close(self, *, seconds: float = 0.0) -> bool:
        """End the engines; whether calls under way have ended too, for which it waits at most `seconds`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for executor in self._executors:
            executor.shutdown(wait=False, cancel_futures=True)
        ended = threading.Event()
        threading.Thread(target=self._join, args=(ended,), name="hubs", daemon=True).start()
        until = time.monotonic() + seconds
        while not ended.is_set() and time.monotonic() < until:  # noqa: ASYNC110  (threads set no asyncio event)
            await asyncio.sleep(0.05)
        return ended.is_set()

    def _join(self, ended: threading.Event) -> None:
        for executor in self._executors:
            executor.shutdown(wait=True)
        ended.set()
