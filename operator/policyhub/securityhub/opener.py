"""Opens a Security Hub: the only place that creates a `HubClient` from a `HubTarget`.

The operator keeps hubs open while MonitoredClusters use them (`policyhub.control.hub_registry`), and sends calls only
while it holds the lease. A command opens a hub for one `with` block.
"""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import NamedTuple

import policyhub
from policyhub.securityhub import credentials, rate_limit
from policyhub.securityhub.client import HubClient, Observer, workers
from policyhub.securityhub.rate_limit import TokenBucket
from policyhub.securityhub.target import HubTarget


class Pace(NamedTuple):
    """The rate limits of an account and Region, which all of its roles share."""

    imports: TokenBucket
    reads: TokenBucket

    @classmethod
    def of(cls, share: float) -> "Pace":
        """A share of the quotas, above 0 and up to 1."""
        return cls(imports=rate_limit.IMPORTS.bucket(share=share), reads=rate_limit.READS.bucket(share=share))


class Opener:
    """Its clients share one loader of service models; otherwise each would keep its own copy (15 MB)."""

    def __init__(self, *, may_send: Callable[[float], bool] = lambda _: True) -> None:
        """`may_send` as in `credentials.Clients`."""
        self.loader = credentials.models()
        self._configured = False
        self._may_send = may_send

    def check(self, target: HubTarget) -> str:
        """The partition of a hub that can be opened. Raises botocore's UnknownRegionError and its other configuration
        errors.
        """
        if not self._configured:
            credentials.check_configuration(self.loader)
            self._configured = True
        return credentials.partition(target.region)

    def open(
        self,
        target: HubTarget,
        pace: Pace,
        *,
        executor: Executor,
        readers: Executor | None = None,
        threads: int,
        observer: Observer | None = None,
    ) -> tuple[HubClient, credentials.Clients]:
        """The client, and the connections that it uses, which the caller closes afterwards. `threads` are those of
        `executor` and `readers` together. Raises as `check`; then there is nothing to close.
        """
        partition = self.check(target)
        clients = credentials.Clients(
            region=target.region,
            version=policyhub.__version__,
            role_arn=target.role_arn,
            external_id=target.external_id,
            workers=threads,
            loader=self.loader,
            may_send=self._may_send,
        )
        client = HubClient(
            account=target.account,
            region=target.region,
            partition=partition,
            clients=clients,
            executor=executor,
            readers=readers,
            imports=pace.imports,
            reads=pace.reads,
            observer=observer,
        )
        return client, clients

    @contextlib.contextmanager
    def opened(self, target: HubTarget, *, share: float, threads: int = 2) -> Iterator[HubClient]:
        """For a command, at its share of the quotas. Raises as `open`."""
        executor = workers(threads)
        try:
            yield self.open(target, Pace.of(share), executor=executor, threads=threads)[0]
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
