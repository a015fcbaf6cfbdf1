"""Many operators in one account with the real quotas: each finding arrives once, and the hub is not overloaded."""

import asyncio
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import CollectorRegistry

from dev.hub.process import HubProcess
from policyhub.clock import SteadyMs, WallMs
from policyhub.findings import asff
from policyhub.metrics.definitions import Metrics
from policyhub.model.violation import SourceKey, Subject, Violation
from policyhub.securityhub import rate_limit
from policyhub.securityhub.arn import product_arn
from policyhub.securityhub.client import HubClient, workers
from policyhub.securityhub.credentials import Clients, Loader, models
from policyhub.securityhub.inventory import Inventory
from policyhub.sync import figures
from policyhub.sync.cluster_queue import ClusterQueue
from policyhub.sync.engine import Engine
from policyhub.sync.ledger import Ledger
from policyhub.sync.lookups import observation_of
from policyhub.sync.plan import Rules

ACCOUNT, REGION = "111122223333", "eu-west-1"
OPERATORS = 10
FINDINGS = 150
KEY = SourceKey("wgpolicyk8s.io", "policyreports", "shop", "r")


def unix_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubProcess]:
    """A fresh local Security Hub that enforces the documented quotas."""
    with HubProcess.start(accounts=(ACCOUNT,), regions=(REGION,)) as process:
        for name in ("AWS_CA_BUNDLE", "AWS_PROFILE", "AWS_ROLE_ARN", "HTTP_PROXY", "http_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name, value in process.env().items():
            monkeypatch.setenv(name, value)
        yield process


class Fleet:
    """One operator's buckets, client, engine and ledger. All operators share threads, to spare the machine."""

    def __init__(self, name: str, executor: ThreadPoolExecutor, loader: Loader) -> None:
        self.imports, self.reads = rate_limit.IMPORTS.bucket(), rate_limit.READS.bucket()
        self.client = HubClient(
            account=ACCOUNT,
            region=REGION,
            partition="aws",
            clients=Clients(region=REGION, version="test", role_arn="", external_id="", workers=4, loader=loader),
            executor=executor,
            imports=self.imports,
            reads=self.reads,
        )
        self.engine = Engine(
            hub=self.client,
            hub_name=name,
            metrics=Metrics(CollectorRegistry()),
            now=lambda: SteadyMs(unix_ms()),
            wall_clock=lambda: WallMs(unix_ms()),
            clock=time.monotonic,
            rng=random.Random(name),  # noqa: S311  (jitter)
        )
        self.ledger = Ledger(cluster_id=name, cluster_uid=name, default_severity="MEDIUM", on_dirty=self.engine.wake)
        cluster = asff.Cluster(
            id=name,
            name=name,
            arn=None,
            uid=name,
            account=ACCOUNT,
            region=REGION,
            partition="aws",
            product_arn=product_arn(partition="aws", region=REGION, account=ACCOUNT),
        )
        feed = ClusterQueue(name=name, ledger=self.ledger, cluster=cluster, rules=Rules(archive_delay_ms=0), sends=True)
        self.engine.attach(feed)

    async def start(self) -> None:
        """Start like an operator: the inventory, and the first list beside it."""
        calls: list[tuple[Violation, WallMs | None]] = [(violation(number), None) for number in range(FINDINGS)]
        self.ledger.read(KEY, calls, complete=True, passed=frozenset, now=SteadyMs(unix_ms()), backlog=True)
        root = len(f"policyhub/{self.ledger.cluster_id}/")
        inventory = Inventory(self.client, cluster=self.ledger.cluster_id)
        async for part in inventory.parts():
            self.ledger.observed.take_part(
                part.prefix[root:], map(observation_of, part.findings), now=SteadyMs(unix_ms())
            )
        self.ledger.finish_inventory()


def violation(number: int) -> Violation:
    return Violation(
        source="kyverno",
        policy="p",
        rule=f"r{number}",
        subject=Subject("apps", "Deployment", "shop", "web"),
        discriminator="",
        result="fail",
        severity="HIGH",
        category="",
        message="m",
    )


async def test_ten_operators_restart_together(hub: HubProcess) -> None:
    """Ten first starts, then ten restarts at the same time: every finding exists once, and the restarts import
    nothing.
    """
    loader = models()
    with workers(2 * OPERATORS) as executor:
        for restart in range(2):
            mark = len(hub.journal())
            fleet = [Fleet(f"cluster-{number}", executor, loader) for number in range(OPERATORS)]
            engines = [asyncio.create_task(operator.engine.run()) for operator in fleet]
            async with asyncio.timeout(240):
                await asyncio.gather(*(operator.start() for operator in fleet))
                while any(figures.pending(operator.ledger) for operator in fleet):  # noqa: ASYNC110  (ten ledgers)
                    await asyncio.sleep(0.05)
            for task in engines:
                task.cancel()
            await asyncio.gather(*engines, return_exceptions=True)
            written = [entry["id"] for entry in hub.journal(mark) if entry["kind"] == "import"]
            assert len(written) == len(set(written)) == (0 if restart else OPERATORS * FINDINGS)
    refused = [call for call in hub.calls() if call["status"] == 429]
    assert len(refused) < len(hub.calls()) / 2  # the rate adapts to the hub: most calls succeed


async def test_a_throttling_hub_is_called_rarely(hub: HubProcess) -> None:
    """While every import is throttled, the rate falls to one call in two seconds, after the calls in flight; afterwards
    everything is sent, and the rate recovers.
    """
    with workers() as executor:
        operator = Fleet("alone", executor, models())
        operator.ledger.observed.take_part("", [], now=SteadyMs(0))
        hub.fault("throttle", operation="BatchImportFindings")
        engine = asyncio.create_task(operator.engine.run())
        await operator.start()
        await asyncio.sleep(8)  # counts the calls in this time
        tried = sum(call["operation"] == "BatchImportFindings" for call in hub.calls())
        # Four may be under way at each of the first halvings, 8 → 0.5 calls a second; then one in two seconds.
        assert 1 <= tried <= 4 + 5 + 8 / 2
        slow = operator.imports.rate
        hub.clear_faults()
        async with asyncio.timeout(120):
            while figures.pending(operator.ledger):  # noqa: ASYNC110  (a counter)
                await asyncio.sleep(0.05)
        assert operator.imports.rate > slow
        engine.cancel()
        await asyncio.gather(engine, return_exceptions=True)
    assert len({entry["id"] for entry in hub.journal()}) == FINDINGS
