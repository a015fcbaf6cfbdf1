"""The text of /metrics, encoded once for all requests of about the same time.

| property                 | value                                                                                    |
|--------------------------|------------------------------------------------------------------------------------------|
| formats                  | two: Prometheus' text 0.0.4, and OpenMetrics 1.0.0 for clients that accept it            |
| compression              | gzip for clients that accept it, so there are four bodies at most                        |
| encoding                 | at most once a second, and for at most a tenth of the time: 0.3 s of encoding serve 3 s  |
|                          | (30 s at most); in a thread, so the event loop continues                                 |
| lifetime                 | until it expires                                                                         |

So the cost does not depend on the number of clients and requests.
"""

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics import exposition as openmetrics

FRESH_SECONDS = 1.0
"""Prometheus scrapes every 15 seconds or less often; a person sees a change at the next request."""
SHARE = 10
"""A body is valid for this many times as long as it took to encode …"""
STALE_SECONDS = 30.0
"""… but no longer than this, however large it is: most Prometheus servers scrape twice a minute."""
_HEADER, _RANGES = 1_024, 32
"""Characters and values of an Accept header that are parsed, on the event loop: Prometheus sends 400 and 5."""
_LEVEL = 4
"""Level of gzip: 5,000 series become 20 kB in 4 ms; level 9 takes five times as long to save a quarter."""


@dataclass(frozen=True, slots=True)
class Format:
    """Format and compression that a client accepts."""

    openmetrics: bool = False
    gzip: bool = False

    @classmethod
    def accepted(cls, *, accept: str, encoding: str) -> "Format":
        """From the headers Accept and Accept-Encoding. A client that accepts neither format gets the plain text."""
        wants = any(
            name == "application/openmetrics-text" and parameters.get("version", "1.0.0") == "1.0.0"
            for name, parameters in _ranges(accept)
        )
        return cls(openmetrics=wants, gzip=any(name == "gzip" for name, _ in _ranges(encoding)))

    @property
    def headers(self) -> str:
        kind = openmetrics.CONTENT_TYPE_LATEST if self.openmetrics else CONTENT_TYPE_PLAIN_0_0_4
        return f"Content-Type: {kind}\r\n" + ("Content-Encoding: gzip\r\n" if self.gzip else "")


def _ranges(header: str) -> list[tuple[str, dict[str, str]]]:
    """The first values of an Accept header with their parameters, without the refused ones (`q=0`)."""
    found = []
    for part in header[:_HEADER].split(",", _RANGES)[:_RANGES]:
        name, *rest = part.split(";")
        pairs = (parameter.partition("=") for parameter in rest)
        parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
        if parameters.get("q", "1").rstrip("0") not in {"", "0."}:
            found.append((name.strip().lower(), parameters))
    return found


class Exposition:
    """The current bodies."""

    def __init__(self, registry: CollectorRegistry, *, clock: Callable[[], float] | None = None) -> None:
        """`clock` returns seconds; the default is the event loop's clock."""
        self._registry = registry
        self._loop = asyncio.get_running_loop()
        self._clock = clock or self._loop.time
        self._bodies: dict[Format, asyncio.Task[bytes]] = {}
        self._until: dict[Format, float] = {}
        """When a finished body expires."""

    def body(self, format_: Format) -> asyncio.Task[bytes]:
        """The current body, or the one that is being encoded. It may fail with what a collector raises."""
        task = self._bodies.get(format_)
        if task is None or (task.done() and self._clock() >= self._until.get(format_, 0.0)):
            task = self._bodies[format_] = self._loop.create_task(self._encode(format_))
        return task

    def close(self) -> None:
        for task in self._bodies.values():
            task.cancel()
        self._bodies.clear()

    async def _encode(self, format_: Format) -> bytes:
        started = self._clock()
        try:
            if format_.gzip:
                plain = await self.body(Format(openmetrics=format_.openmetrics))
                started = self._clock()
                compress = partial(gzip.compress, plain, compresslevel=_LEVEL, mtime=0)
                return await self._loop.run_in_executor(None, compress)
            encode = openmetrics.generate_latest if format_.openmetrics else generate_latest
            return await self._loop.run_in_executor(None, encode, self._registry)
        finally:
            serves = max(FRESH_SECONDS, min(STALE_SECONDS, SHARE * (self._clock() - started)))
            self._until[format_] = self._clock() + serves
            self._loop.call_later(serves, self._forget, format_)

    def _forget(self, format_: Format) -> None:
        """Drop the body if it has expired."""
        task = self._bodies.get(format_)
        if task is not None and task.done() and self._clock() >= self._until.get(format_, 0.0):
            del self._bodies[format_]
