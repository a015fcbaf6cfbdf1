"""The bearer token of an EKS cluster: a presigned GetCallerIdentity, used again and again until it is about to end.

| age, or what the credentials that signed it have left | then                                                 |
|-------------------------------------------------------|------------------------------------------------------|
| below 12 minutes, and they last for more than one     | the same token: each new one costs EKS a call to STS |
| below 14 minutes                                      | the same token; a new one is signed meanwhile, tried |
|                                                       | again half a minute after a failure                  |
| from there on                                         | a new one, for which requests wait                   |

A token is good for 15 minutes from when it was signed, and no longer than the credentials that signed it. One is signed
at a time. All requests that wait get it, or its failure; that counts for whoever comes in the next two seconds, too.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable

from policyhub.api.reason import Reason
from policyhub.clock import NEVER, SteadyMs
from policyhub.kube.errors import NotTried
from policyhub.securityhub.caller_url import Signed

PREFIX = "k8s-aws-v1."
MOST_BYTES = 4_096
"""A longer one is refused by the authenticator, unread. One of a session with six tags has some 2,500."""
REUSE_SECONDS = 720.0
GOOD_SECONDS = 840.0
EARLY_SECONDS = 60.0
"""Before the credentials end."""
RETRY_SECONDS = 30.0
FAILED_SECONDS = 2.0
"""Less than a connection waits before it is tried again."""

Sign = Callable[[], Awaitable[Signed]]


def encode(url: str) -> str:
    """Raises NotTried where no cluster would read it."""
    token = PREFIX + base64.urlsafe_b64encode(url.encode()).rstrip(b"=").decode()
    if len(token) > MOST_BYTES:
        raise NotTried(
            Reason.TOKEN_TOO_LARGE,
            f"the token has {len(token):,} bytes, and EKS reads none of more than {MOST_BYTES:,}: the role's session is"
            " too large. Pod Identity's session tags travel along a change of role",
            remedy="Switch the tags off for the association (aws eks update-pod-identity-association"
            " --disable-session-tags), or sign in by IRSA",
        )
    return token


class Tokens:
    """Of one cluster and one identity."""

    def __init__(self, sign: Sign, *, now: Callable[[], SteadyMs]) -> None:
        """`sign` ends by itself, and raises NotTried."""
        self._sign = sign
        self._now = now
        self._token = ""
        self._renew_at = NEVER
        self._good_until = NEVER
        self._failure: NotTried | None = None
        """Of the last attempt; `_renew_at` says until when it counts."""
        self._renewal: asyncio.Task[str | NotTried] | None = None
        """Under way."""

    async def token(self) -> str:
        """The one to send now. Raises NotTried."""
        now = self._now()
        if now < self._good_until:
            if now >= self._renew_at:
                self._begun()
            return self._token
        if self._failure is not None and now < self._renew_at:
            raise self._failure.with_traceback(None)
        made = await asyncio.shield(self._begun())
        if isinstance(made, NotTried):
            raise made.with_traceback(None)
        return made

    def _begun(self) -> asyncio.Task[str | NotTried]:
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew())
        return self._renewal

    async def _renew(self) -> str | NotTried:
        """Goes on when nobody waits any more. After `forget` its outcome is only for those who wait."""
        made: str | NotTried
        try:
            signed = await self._sign()
            made = encode(signed.url)
            left = signed.seconds if signed.seconds is not None else GOOD_SECONDS + EARLY_SECONDS
        except NotTried as failure:
            made, left = failure, 0.0
        finally:
            current = self._renewal is asyncio.current_task()
            if current:
                self._renewal = None
        if current:
            self._keep(made, left)
        return made

    def _keep(self, made: str | NotTried, left: float) -> None:
        now = self._now()
        if isinstance(made, NotTried):
            self._failure = made
            if now < self._good_until:
                self._renew_at = min(now + int(1000 * RETRY_SECONDS), self._good_until)
            else:
                self._renew_at = now + int(1000 * FAILED_SECONDS)
            return
        self._token, self._failure = made, None
        self._renew_at = now + int(1000 * min(REUSE_SECONDS, left - EARLY_SECONDS))
        self._good_until = now + int(1000 * min(GOOD_SECONDS, left))

    def forget(self) -> None:
        """It was refused: the next one is new."""
        self._renew_at = self._good_until = NEVER
        self._failure = self._renewal = None
