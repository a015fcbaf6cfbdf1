"""The two network edges of the operator, simulated: a connection to the API server and a Security Hub client. All other
code in a simulation is the operator's own.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Self

import msgspec

from policyhub.kube.changed_names import NameBudget
from policyhub.kube.connection import Refused, Unreachable
from policyhub.kube.time_slice import TimeSlice
from policyhub.securityhub.client import ImportResult, Page
from tests.simulation.hub import ACCOUNT, PRODUCT_ARN, REGION, Hub
from tests.simulation.server import Server
from tests.simulation.watching import Watcher

TIMEOUT_SECONDS = 60.0


class Connection:
    """The methods of policyhub.kube.connection.Connection that a cluster's data plane uses."""

    def __init__(self, server: Server) -> None:
        self.server = "https://simulated"
        self.secrets: frozenset[str] = frozenset()
        self.time_slice = TimeSlice(clock=server.loop.time)
        self.name_budget = NameBudget()
        self._api = server

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        pass

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, accept: str | None = None) -> bytes:
        await self._request(path)
        if params is not None and "limit" in params and self._api.fault_of(path, "slow"):
            await asyncio.sleep(20)
        return self._api.answer(path, dict(params or {}))

    @contextlib.asynccontextmanager
    async def page(
        self, path: str, params: Mapping[str, str] | None = None, *, accept: str | None = None
    ) -> AsyncIterator[bytearray]:
        yield bytearray(await self.get(path, params, accept=accept))

    async def cluster_uid(self) -> str:
        body = msgspec.json.decode(await self.get("/api/v1/namespaces/kube-system"))
        return str(body["metadata"]["uid"])

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, params: Mapping[str, str] | None = None, *, idle_seconds: float, accept: str | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        await self._request(path)
        given = dict(params or {})
        shelf, _ = self._api.shelf(path)
        selected = "fieldSelector" in given
        first = self._api.since(shelf, int(given.get("resourceVersion", 0)), selected=selected)
        watcher = Watcher(self._api.loop, shelf.kind, selected=selected)
        watcher.stalled = bool(self._api.fault_of(path, "stall"))
        for line in first:
            watcher.send(line)
        self._api.watchers.append(watcher)
        try:
            seconds = float(given.get("timeoutSeconds", 300))
            yield watcher.lines(seconds=seconds, idle=idle_seconds, version=lambda: str(self._api.version))
        finally:
            self._api.watchers.remove(watcher)

    async def _request(self, path: str) -> None:
        await asyncio.sleep(self._api.rng.uniform(0.005, 0.1))
        self._api.refuse(path)
        if self._api.fault_of(path) == "timeout":
            await asyncio.sleep(TIMEOUT_SECONDS)
            raise Unreachable("no answer in time (TimeoutError)")


class HubClient:
    """The methods of policyhub.securityhub.client.HubClient."""

    account, region, partition, product_arn = ACCOUNT, REGION, "aws", PRODUCT_ARN

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._next = 0.0
        """When the next import may be sent."""

    async def ready(self) -> None:
        now = self._hub.loop.time()
        self._next = max(self._next, now) + 0.125
        await asyncio.sleep(self._next - 0.125 - now)

    def release_token(self) -> None:
        pass

    async def verify_account(self) -> None:
        await asyncio.sleep(0.05)

    async def import_findings(
        self, findings: Sequence[Mapping[str, Any]], *, sizes: Sequence[int] | None = None
    ) -> ImportResult:
        del sizes
        return await self._hub.take([dict(finding) for finding in findings])

    async def find(self, filters: Mapping[str, Any], *, urgent: bool = False) -> AsyncGenerator[Page, None]:
        found = await self._hub.read(filters)
        while len(found) > 100:
            yield Page(tuple(found[:100]), f"more-{len(found)}")
            found = found[100:]
            await asyncio.sleep(self._hub.page_seconds())
        yield Page(tuple(found), "")

    async def by_ids(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        requested = list(dict.fromkeys(ids))
        filters = {"Id": [{"Value": ident, "Comparison": "EQUALS"} for ident in requested]}
        return {finding["Id"]: finding for finding in await self._hub.read(filters)}


__all__ = ["Connection", "HubClient", "Refused"]
