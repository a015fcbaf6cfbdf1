"""Writes tens of thousands of reports into a real API server, many at once, so that the server is the bottleneck.

The development client (dev/cluster) costs as much CPU as the server, on the same cores.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

import aiohttp
import msgspec

from dev.cluster import Cluster

Document = dict[str, Any]

WRITERS = 16
"""Concurrent requests; a real API server allows 200 writes."""
SECONDS = 60.0
"""For one request."""


class LoadError(Exception):
    """The API server refused a report."""


def create(cluster: Cluster, documents: Iterable[Document]) -> None:
    """Create objects of one kind that do not exist yet."""
    asyncio.run(_write(cluster, documents, method="POST"))


def merge(cluster: Cluster, documents: Iterable[Document]) -> None:
    """Rewrite existing objects of one kind: a JSON merge patch with the whole document, which replaces lists."""
    asyncio.run(_write(cluster, documents, method="PATCH"))


async def _write(cluster: Cluster, documents: Iterable[Document], *, method: str) -> None:
    headers = {"Accept": "application/json", "Content-Type": "application/merge-patch+json"}
    if method == "POST":
        headers["Content-Type"] = "application/json"
    if cluster.access.token:
        headers["Authorization"] = f"Bearer {cluster.access.token}"
    connector = aiohttp.TCPConnector(limit=WRITERS, ssl=cluster.tls)
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    remaining = iter(documents)
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(WRITERS):
            tasks.create_task(_work(session, cluster, cluster.url, method, remaining))


async def _work(
    session: aiohttp.ClientSession, cluster: Cluster, url: str, method: str, remaining: Iterator[Document]
) -> None:
    for document in remaining:
        path = cluster.path(document)
        if method == "POST":
            path = path.rpartition("/")[0]
        async with session.request(method, url + path, data=msgspec.json.encode(document)) as answer:
            if answer.status >= 300:
                raise LoadError(f"{method} {path}: {answer.status} {(await answer.read())[:500]!r}")
            await answer.read()
