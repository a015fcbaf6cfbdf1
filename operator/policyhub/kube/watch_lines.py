"""Splits the watches of one server into lines, and bounds what is buffered.

| bounded                                     | by                                                                    |
|---------------------------------------------|-----------------------------------------------------------------------|
| bytes of one line                           | `MAX_LINE`                                                            |
| bytes of the unfinished lines of all        | `_MAX_PENDING`                                                        |
|   watches together                          |                                                                       |
| the time until a line ends                  | `_LINE_SECONDS`                                                       |
"""

import asyncio
from collections.abc import AsyncGenerator

import aiohttp

from policyhub.kube.errors import TooLarge, Unreachable
from policyhub.kube.failure import Secrets, unreachable

MAX_LINE = 8 * 2**20
"""Bytes of one watch event. etcd stores objects of 1.5 MiB by default, and at most 3 to 4 MiB in managed services.
Aggregated API servers may hold larger objects, but the operator could not use a report of that size."""
_MAX_PENDING = 16 * 2**20
_LINE_SECONDS = 60.0


class WatchLines:
    """Of all watches of one server."""

    def __init__(self) -> None:
        self._pending = 0
        """Bytes of the unfinished lines of all watches."""

    async def read(self, response: aiohttp.ClientResponse, path: str, secrets: Secrets) -> AsyncGenerator[bytes]:
        """The lines of one watch, without line breaks. A line of many chunks is joined once, not once per chunk.

        Raises Unreachable, TooLarge.
        """
        pending = bytearray()
        clock = asyncio.get_running_loop().time
        since = clock()
        try:
            while True:
                with unreachable(secrets, str(response.url)):
                    chunk = await response.content.readany()
                if not chunk:
                    return
                first, *rest = chunk.split(b"\n")
                pending += first
                self._pending += len(first)
                if len(pending) > MAX_LINE:
                    raise TooLarge(
                        f"{path}: a line of a watch is longer than {MAX_LINE // 2**20} MiB ({MAX_LINE} bytes)"
                    )
                if not rest:
                    if self._pending > _MAX_PENDING:
                        raise TooLarge(
                            f"{path}: the unfinished lines of all watches exceed {_MAX_PENDING // 2**20} MiB"
                        )
                    if clock() - since > _LINE_SECONDS:
                        raise Unreachable(f"{path}: a line of a watch did not end within {_LINE_SECONDS:.0f} s")
                    continue
                self._pending -= len(pending)
                line, pending = bytes(pending), bytearray()
                yield line
                pending += rest.pop()
                self._pending += len(pending)
                for line in rest:
                    yield line
                since = clock()
        finally:
            self._pending -= len(pending)
