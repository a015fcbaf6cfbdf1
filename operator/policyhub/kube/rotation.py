"""The token of a kubeconfig in a Secret, which somebody replaces before it ends: Cluster API does, for EKS every ten
minutes, with tokens that are good for 15.

| when                                   | then                                                                     |
|----------------------------------------|--------------------------------------------------------------------------|
| it was read less than two minutes ago  | the same token                                                           |
| later                                  | the same token; the Secret is read meanwhile, and what is there then is  |
|                                        | the next one                                                             |
| it was refused                         | the Secret is read first, and the request waits for that                 |
| the Secret has another server,         | the token that was read before: a new one is for nobody but the server   |
| authority or kind of credential        | beside it. A fresh connection is made when this one is refused           |
| the Secret cannot be read or used      | the same                                                                 |

Watches that are open go on meanwhile: a token counts when a request begins.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from policyhub.kube import kubeconfig
from policyhub.kube.errors import Refused, Unreachable
from policyhub.kube.kubeconfig import Access, KubeconfigError

READ_SECONDS = 120.0
"""A token that is ten minutes old when it is replaced is twelve then, and good for three more."""


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
        """`read` gives the kubeconfig that is in the Secret now, and raises KubeconfigError, Unreachable; `content` and
        `access` are what it gave just now, and what that came to.
        """
        self._read = read
        self._content = content
        self._access = access
        self._monotonic = monotonic
        self._read_at = monotonic()
        self._refused = False
        self._reading: asyncio.Task[None] | None = None

    async def token(self) -> str:
        """The one to send now."""
        if self._refused or self._monotonic() - self._read_at >= READ_SECONDS:
            if self._reading is None:
                self._reading = asyncio.create_task(self._read_again())
            if self._refused:
                await asyncio.shield(self._reading)
        return self._access.token or ""

    def forget(self) -> None:
        """It was refused."""
        self._refused = True

    async def _read_again(self) -> None:
        """Goes on when nobody waits any more."""
        try:
            content = await self._read()
            if content != self._content:
                self._take(await asyncio.to_thread(kubeconfig.parse, content, stored=True))
                self._content = content
        except (KubeconfigError, Refused, Unreachable):
            pass  # the connection that is made once this token is refused says so
        finally:
            self._read_at = self._monotonic()
            self._refused = False
            self._reading = None

    def _take(self, access: Access) -> None:
        if access.token is not None and replace(access, token=self._access.token) == self._access:
            self._access = access
