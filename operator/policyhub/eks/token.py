"""The bearer token of an EKS cluster: a presigned GetCallerIdentity, cached until shortly before it expires.

| age of the token                                      | then                                                 |
|-------------------------------------------------------|------------------------------------------------------|
| below 12 minutes, and the credentials last for more   | use it: each new token costs EKS a call to STS       |
|   than another minute                                 |                                                      |
| below 14 minutes, and the credentials are valid       | use it, and sign a new one in the background; retry  |
|                                                       | 30 seconds after a failure                           |
| else                                                  | requests wait for a new one                          |

A token is valid for 15 minutes after signing, but no longer than the credentials that signed it. Only one is signed at
a time. All waiting requests get the result or the error; an error also counts for requests of the next two seconds.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable

from policyhub.api.reason import Reason
from policyhub.clock import NEVER, SteadyMs
from policyhub.kube.errors import NotTried
from policyhub.securityhub.caller_url import Signed

PREFIX = "k8s-aws-v1."
MAX_BYTES = 4_096
"""The authenticator rejects a longer token without reading it. A token of a session with six tags has some 2,500."""
REUSE_SECONDS = 720.0
VALID_SECONDS = 840.0
EARLY_SECONDS = 60.0
"""A token is renewed this long before the credentials expire."""
RETRY_SECONDS = 30.0
FAILED_SECONDS = 2.0
"""Less than the wait before a connection is retried."""

Sign = Callable[[], Awaitable[Signed]]


def encode(url: str) -> str:
    """The token for a presigned URL. Raises NotTried if it is too long for EKS."""
    token = PREFIX + base64.urlsafe_b64encode(url.encode()).rstrip(b"=").decode()
    if len(token) > MAX_BYTES:
        raise NotTried(
            Reason.TOKEN_TOO_LARGE,
            f"the token has {len(token):,} bytes, but EKS accepts at most {MAX_BYTES:,}: the role's session is too"
            " large. Pod Identity's session tags are passed on when the role assumes another role",
            remedy="Disable the session tags of the association (aws eks update-pod-identity-association"
            " --disable-session-tags), or use IRSA",
        )
    return token


class TokenCache:
    """Of one cluster and one identity."""

    def __init__(self, sign: Sign, *, now: Callable[[], SteadyMs]) -> None:
        """`sign` has a time-out of its own, and raises NotTried."""
        self._sign = sign
        self._now = now
        self._token = ""
        self._renew_at = NEVER
        self._valid_until = NEVER
        self._failure: NotTried | None = None
        """The error of the last attempt; valid until `_renew_at`."""
        self._renewal: asyncio.Task[str | NotTried] | None = None
        """In progress."""

    async def token(self) -> str:
        """The token to send now. Raises NotTried."""
        now = self._now()
        if now < self._valid_until:
            if now >= self._renew_at:
                self._start_renewal()
            return self._token
        if self._failure is not None and now < self._renew_at:
            raise self._failure.with_traceback(None)
        result = await asyncio.shield(self._start_renewal())
        if isinstance(result, NotTried):
            raise result.with_traceback(None)
        return result

    def _start_renewal(self) -> asyncio.Task[str | NotTried]:
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew())
        return self._renewal

    async def _renew(self) -> str | NotTried:
        """Continues even if no request waits any more. After `forget` the result is only for the waiting requests."""
        result: str | NotTried
        try:
            signed = await self._sign()
            result = encode(signed.url)
            lifetime = signed.seconds if signed.seconds is not None else VALID_SECONDS + EARLY_SECONDS
        except NotTried as failure:
            result, lifetime = failure, 0.0
        finally:
            current = self._renewal is asyncio.current_task()
            if current:
                self._renewal = None
        if current:
            self._store(result, lifetime)
        return result

    def _store(self, result: str | NotTried, lifetime: float) -> None:
        now = self._now()
        if isinstance(result, NotTried):
            self._failure = result
            if now < self._valid_until:
                self._renew_at = min(now + int(1000 * RETRY_SECONDS), self._valid_until)
            else:
                self._renew_at = now + int(1000 * FAILED_SECONDS)
            return
        self._token, self._failure = result, None
        self._renew_at = now + int(1000 * min(REUSE_SECONDS, lifetime - EARLY_SECONDS))
        self._valid_until = now + int(1000 * min(VALID_SECONDS, lifetime))

    def forget(self) -> None:
        """The cluster refused the token: the next one is new."""
        self._renew_at = self._valid_until = NEVER
        self._failure = self._renewal = None
