"""The token of a kubeconfig in a Secret that is rotated before it expires: Cluster API does this for EKS, every ten
minutes, with tokens that are valid for 15.

| state                                  | a request uses                                                           |
|----------------------------------------|--------------------------------------------------------------------------|
| read less than two minutes ago         | the same token                                                           |
| read earlier                           | the same token; the Secret is read in the background for the next        |
|                                        | requests                                                                 |
| the token was refused                  | the token in the Secret; the request waits until it is read              |
| the Secret has another server,         | the old token: the new one is only for the server next to it. When the   |
| CA or kind of credential               | old one is refused, a new connection is made                             |
| the Secret cannot be read or used      | the old token                                                            |

Open watches continue: a token is needed only when a request starts.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from policyhub.kube import kubeconfig
from policyhub.kube.errors import Refused, Unreachable
from policyhub.kube.kubeconfig import Access, KubeconfigError

READ_SECONDS = 120.0
"""A token that is replaced after ten minutes is then at most twelve minutes old, and valid for three more."""


class Rotation:
    """Of one connection."""

    def __init__(
        self,
        read: Callable[[], Awaitable[bytes]],
        content: bytes,
        access: Access,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read` returns the current kubeconfig of the Secret, and raises KubeconfigError, Unreachable. `content` and
        `access` are its last result, raw and parsed.
        """
        self._read = read
        self._content = content
        self._access = access
        self._monotonic = monotonic
        self._read_at = monotonic()
        self._refused = False
        self._reading: asyncio.Task[None] | None = None

    async def token(self) -> str:
        """The token to send now."""
        if self._refused or self._monotonic() - self._read_at >= READ_SECONDS:
            if self._reading is None:
                self._reading = asyncio.create_task(self._read_again())
            if self._refused:
                await asyncio.shield(self._reading)
        return self._access.token or ""

    def forget(self) -> None:
        """The token was refused."""
        self._refused = True

    async def _read_again(self) -> None:
        """Continues even if no request waits any more."""
        try:
            content = await self._read()
            if content != self._content:
                self._accept(await asyncio.to_thread(kubeconfig.parse, content, untrusted=True))
                self._content = content
        except (KubeconfigError, Refused, Unreachable):
            pass  # the error shows when this token is refused and a new connection is made
        finally:
            self._read_at = self._monotonic()
            self._refused = False
            self._reading = None

    def _accept(self, access: Access) -> None:
        if access.token is not None and replace(access, token=self._access.token) == self._access:
            self._access = access
