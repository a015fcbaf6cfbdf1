"""The bytes of one answer, bounded: as they come over the network, and as what they unpack to.

aiohttp would unpack an answer without a limit: 700 MB out of 0.7. So it hands over what came, and it is unpacked here.

| bytes                  | held by                                                                                     |
|------------------------|---------------------------------------------------------------------------------------------|
| up to `FREE`           | anybody, at any time                                                                        |
| up to the answer's cap | one answer of the whole process at a time (`large`), for as long as its bytes are in use    |
| more                   | nobody: TooLarge                                                                            |
"""

import asyncio
import contextlib
import zlib
from typing import Final
from weakref import WeakKeyDictionary

import aiohttp

from policyhub.kube.errors import TooLarge, Unreachable

SMALL: Final = 4 * 2**20
"""Bytes of one document. The largest that there are: the discovery of 1,000 kinds has 0.5 MB, a Secret 1 MiB."""
PAGE: Final = 64 * 2**20
"""Bytes of a page of a listing: 500 reports have 1.5 to 3 MB. A page that exceeds it is asked for with fewer objects;
only a server that knows no pages (Kyverno's reports-server) is held to it: some 20,000 reports."""
FREE: Final = 4 * 2**20
LARGE_SECONDS: Final = 30.0
"""For which a large answer waits for its turn, and again within which the rest of it must come."""
_AT_ONCE: Final = 65_536
"""Encoded bytes that are unpacked on the loop: at most a thousand times as much comes of them, in pieces."""
_PIECE: Final = 65_536
_STEP: Final = 2**20
"""Bytes unpacked at once: they are held twice."""

_turns: "WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]" = WeakKeyDictionary()


def large() -> asyncio.Lock:
    """Held by the one large answer of this process."""
    return _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())


async def read(response: aiohttp.ClientResponse, path: str, *, cap: int, stack: contextlib.AsyncExitStack) -> bytearray:
    """The whole body, unpacked. What a large one takes of the process's memory is given back when `stack` ends.

    Raises Unreachable, TooLarge, and whatever aiohttp raises.
    """
    holder = _Holder(path, stack)
    packing = response.headers.get("Content-Encoding", "").strip().lower()
    if packing not in {"", "identity", "gzip", "deflate"}:
        raise Unreachable(f"{path}: an answer in the encoding {packing[:50]!r}, which was not asked for")
    packed = packing in {"gzip", "deflate"}
    body = bytearray()
    try:
        async with contextlib.AsyncExitStack() as hurry:
            while chunk := await response.content.readany():
                body += chunk
                if len(body) > cap:
                    raise _too_large(path, cap)
                if len(body) > FREE and not holder.holds:
                    await holder.take()
                    await hurry.enter_async_context(asyncio.timeout(LARGE_SECONDS))
    except TimeoutError:
        if not holder.holds:
            raise
        raise TooLarge(f"{path}: a large answer did not come within {LARGE_SECONDS:.0f} s") from None
    if not packed or not body:
        return body
    form = zlib.MAX_WBITS | 16 if packing == "gzip" else _deflate(body)
    unpacker = _Unpacker(body, form)
    most = min(cap, FREE) if not holder.holds else cap
    await _unpack(unpacker, most, path)
    if not unpacker.ended and most < cap:
        await holder.take()
        await _unpack(unpacker, cap, path)
    if not unpacker.ended:
        raise _too_large(path, cap)
    return unpacker.out


def beginning(packed: bytearray, packing: str, most: int) -> bytearray:
    """What the beginning of an error's body unpacks to, as far as it does."""
    if packing not in {"gzip", "deflate"}:
        return packed
    unpacker = _Unpacker(packed, zlib.MAX_WBITS | 16 if packing == "gzip" else _deflate(packed))
    with contextlib.suppress(zlib.error):
        unpacker.unpack(most)
    return unpacker.out


def _too_large(path: str, cap: int) -> TooLarge:
    return TooLarge(f"{path}: the answer is larger than {cap // 2**20} MiB")


class _Holder:
    """Takes the turn of a large answer, once."""

    def __init__(self, path: str, stack: contextlib.AsyncExitStack) -> None:
        self.holds = False
        self._path = path
        self._stack = stack

    async def take(self) -> None:
        try:
            async with asyncio.timeout(LARGE_SECONDS):
                await self._stack.enter_async_context(large())
        except TimeoutError:
            raise TooLarge(
                f"{self._path}: the answer is larger than {FREE // 2**20} MiB, and other large ones came first for"
                f" {LARGE_SECONDS:.0f} s"
            ) from None
        self.holds = True


def _deflate(body: bytearray) -> int:
    """What HTTP calls deflate is zlib's format; some servers leave its two bytes of header out."""
    zlib_header = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] * 256 + body[1]) % 31 == 0
    return zlib.MAX_WBITS if zlib_header else -zlib.MAX_WBITS


async def _unpack(unpacker: "_Unpacker", most: int, path: str) -> None:
    try:
        if unpacker.size > _AT_ONCE:
            await asyncio.to_thread(unpacker.unpack, most)
        else:
            unpacker.unpack(most)
    except zlib.error as error:
        raise Unreachable(f"{path}: an answer that cannot be unpacked: {error}") from None


class _Unpacker:
    """One packed body; goes on where it stopped."""

    def __init__(self, packed: bytearray, form: int) -> None:
        self.size = len(packed)
        self.out = bytearray()
        self.ended = False
        self._rest = memoryview(packed)
        self._zlib = zlib.decompressobj(form)

    def unpack(self, most: int) -> None:
        """Up to one byte more than `most` bytes in all; `ended` where that was everything. Raises zlib.error."""
        while len(self.out) <= most:
            piece = self._zlib.unconsumed_tail or self._rest[:_PIECE]
            if not self._zlib.unconsumed_tail:
                self._rest = self._rest[_PIECE:]
            gained = self._zlib.decompress(piece, min(_STEP, most + 1 - len(self.out)))
            self.out += gained
            if self._zlib.eof:
                if self._zlib.unused_data or self._rest:  # a second member: no API server writes one
                    raise zlib.error("something follows its end")
                self.ended = len(self.out) <= most
                return
            if not (gained or self._rest or self._zlib.unconsumed_tail):
                raise zlib.error("it was cut")
