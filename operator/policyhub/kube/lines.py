"""Lines of the watches of one server, and how much of them is held before they end.

| held                                        | at most                                                               |
|---------------------------------------------|-----------------------------------------------------------------------|
| one line of a watch                         | `MAX_LINE`                                                            |
| unfinished ones of all watches              | `_MAX_PENDING`                                                        |
| the time for which a line stays unfinished  | `_LINE_SECONDS`                                                       |
"""

import asyncio
from collections.abc import AsyncGenerator

import aiohttp

from policyhub.kube.errors import TooLarge, Unreachable
from policyhub.kube.failure import Secrets, unreachable

MAX_LINE = 8 * 2**20
"""Bytes of one watch event. etcd holds 1.5 MiB by default, and at most 3 to 4 by any managed service's setting; what
aggregated API servers hold beyond that is more than can be made of one report."""
_MAX_PENDING = 16 * 2**20
_LINE_SECONDS = 60.0


class Lines:
    """Of all watches of one server."""

    def __init__(self) -> None:
        self._pending = 0
        """Bytes of unfinished lines, of all watches."""

    async def of(self, response: aiohttp.ClientResponse, path: str, secrets: Secrets) -> AsyncGenerator[bytes]:
        """The lines, however the network cut them; a line of many chunks is joined once, not once per chunk."""
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
