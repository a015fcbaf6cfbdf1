"""Reads the body of one answer with limits for its compressed and its decompressed size.

aiohttp decompresses without a limit: 0.7 MB can become 700 MB. So it passes the raw bytes on, and they are decompressed
here.

| bytes                    | may be held by                                                                            |
|--------------------------|-------------------------------------------------------------------------------------------|
| up to `CONCURRENT_BYTES` | any number of answers                                                                     |
| up to the answer's cap   | one answer in the process at a time (lock `large`), until its bytes are no longer in use  |
| more                     | none: TooLarge                                                                            |
"""

import asyncio
import contextlib
import zlib
from typing import Final
from weakref import WeakKeyDictionary

import aiohttp

from policyhub.kube.errors import TooLarge, Unreachable

MAX_DOCUMENT_BYTES: Final = 4 * 2**20
"""Of one document. The largest are a Secret (1 MiB) and the discovery of 1,000 kinds (0.5 MB)."""
MAX_PAGE_BYTES: Final = 64 * 2**20
"""Of a page of a listing: 500 reports have 1.5 to 3 MB. A larger page is requested again with fewer objects. A server
without pages (Kyverno's reports-server) cannot exceed it: some 20,000 reports."""
CONCURRENT_BYTES: Final = 4 * 2**20
LARGE_SECONDS: Final = 30.0
"""The longest wait of a large answer for the lock, and then for the rest of its bytes."""
_INLINE_BYTES: Final = 65_536
"""Compressed bytes that are decompressed on the event loop: they become at most a thousand times as many, in steps."""
_CHUNK: Final = 65_536
_MAX_STEP: Final = 2**20
"""Bytes decompressed in one step: they are held twice."""

_locks: "WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]" = WeakKeyDictionary()


def large() -> asyncio.Lock:
    """The lock that the one large answer of this process holds."""
    return _locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())


async def read(response: aiohttp.ClientResponse, path: str, *, cap: int, stack: contextlib.AsyncExitStack) -> bytearray:
    """The whole body, decompressed. A large answer holds its lock until `stack` closes.

    Raises Unreachable, TooLarge, and what aiohttp raises.
    """
    large_answer = _LargeAnswer(path, stack)
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in {"", "identity", "gzip", "deflate"}:
        raise Unreachable(f"{path}: an answer in the encoding {encoding[:50]!r}, which was not asked for")
    compressed = encoding in {"gzip", "deflate"}
    body = bytearray()
    try:
        async with contextlib.AsyncExitStack() as deadline:
            while chunk := await response.content.readany():
                body += chunk
                if len(body) > cap:
                    raise _too_large(path, cap)
                if len(body) > CONCURRENT_BYTES and not large_answer.held:
                    await large_answer.acquire()
                    await deadline.enter_async_context(asyncio.timeout(LARGE_SECONDS))
    except TimeoutError:
        if not large_answer.held:
            raise
        raise TooLarge(f"{path}: a large answer did not come within {LARGE_SECONDS:.0f} s") from None
    if not compressed or not body:
        return body
    window_bits = zlib.MAX_WBITS | 16 if encoding == "gzip" else _deflate(body)
    unpacker = _Unpacker(body, window_bits)
    max_bytes = min(cap, CONCURRENT_BYTES) if not large_answer.held else cap
    await _unpack(unpacker, max_bytes, path)
    if not unpacker.ended and max_bytes < cap:
        await large_answer.acquire()
        await _unpack(unpacker, cap, path)
    if not unpacker.ended:
        raise _too_large(path, cap)
    return unpacker.out


def unpacked_prefix(compressed: bytearray, encoding: str, max_bytes: int) -> bytearray:
    """The decompressed beginning of an error's body, as far as it can be decompressed."""
    if encoding not in {"gzip", "deflate"}:
        return compressed
    unpacker = _Unpacker(compressed, zlib.MAX_WBITS | 16 if encoding == "gzip" else _deflate(compressed))
    with contextlib.suppress(zlib.error):
        unpacker.unpack(max_bytes)
    return unpacker.out


def _too_large(path: str, cap: int) -> TooLarge:
    return TooLarge(f"{path}: the answer is larger than {cap // 2**20} MiB")


class _LargeAnswer:
    """Acquires the lock for a large answer, once."""

    def __init__(self, path: str, stack: contextlib.AsyncExitStack) -> None:
        self.held = False
        self._path = path
        self._stack = stack

    async def acquire(self) -> None:
        try:
            async with asyncio.timeout(LARGE_SECONDS):
                await self._stack.enter_async_context(large())
        except TimeoutError:
            raise TooLarge(
                f"{self._path}: the answer is larger than {CONCURRENT_BYTES // 2**20} MiB, and other large ones came"
                f" first for {LARGE_SECONDS:.0f} s"
            ) from None
        self.held = True


def _deflate(body: bytearray) -> int:
    """HTTP's deflate is the zlib format; some servers omit its header of two bytes."""
    zlib_header = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] * 256 + body[1]) % 31 == 0
    return zlib.MAX_WBITS if zlib_header else -zlib.MAX_WBITS


async def _unpack(unpacker: "_Unpacker", max_bytes: int, path: str) -> None:
    try:
        if unpacker.size > _INLINE_BYTES:
            await asyncio.to_thread(unpacker.unpack, max_bytes)
        else:
            unpacker.unpack(max_bytes)
    except zlib.error as error:
        raise Unreachable(f"{path}: an answer that cannot be unpacked: {error}") from None


class _Unpacker:
    """Decompresses one body; a second call continues where the first stopped."""

    def __init__(self, compressed: bytearray, window_bits: int) -> None:
        self.size = len(compressed)
        self.out = bytearray()
        self.ended = False
        self._rest = memoryview(compressed)
        self._zlib = zlib.decompressobj(window_bits)

    def unpack(self, max_bytes: int) -> None:
        """Up to one byte more than `max_bytes` bytes in all; `ended` where that was everything. Raises zlib.error."""
        while len(self.out) <= max_bytes:
            piece = self._zlib.unconsumed_tail or self._rest[:_CHUNK]
            if not self._zlib.unconsumed_tail:
                self._rest = self._rest[_CHUNK:]
            gained = self._zlib.decompress(piece, min(_MAX_STEP, max_bytes + 1 - len(self.out)))
            self.out += gained
            if self._zlib.eof:
                if self._zlib.unused_data or self._rest:  # a second gzip member: no API server sends one
                    raise zlib.error("something follows its end")
                self.ended = len(self.out) <= max_bytes
                return
            if not (gained or self._rest or self._zlib.unconsumed_tail):
                raise zlib.error("it was cut")
