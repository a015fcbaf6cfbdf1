"""The bearer token of an EKS cluster: a presigned GetCallerIdentity, used again and again until it is about to end.

| age, or what the credentials that signed it have left | then                                                 |
|-------------------------------------------------------|------------------------------------------------------|
| below 12 minutes, and they last for more than one     | the same token: each new one costs EKS a call to STS |
| from there on                                         | a new one                                            |
| below 14 minutes, and no new one can be had           | the same token; tried again half a minute later      |

A token is good for 15 minutes from when it was signed, and no longer than the credentials that signed it.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable

from policyhub.clocks import NEVER, SteadyMs
from policyhub.hub.caller_url import Signed
from policyhub.kube.errors import NotTried

PREFIX = "k8s-aws-v1."
MOST_BYTES = 4_096
"""A longer one is refused by the authenticator, unread. One of a session with six tags has some 2,500."""
REUSE_SECONDS = 720.0
GOOD_SECONDS = 840.0
EARLY_SECONDS = 60.0
"""Before the credentials end."""
RETRY_SECONDS = 30.0

Sign = Callable[[], Awaitable[Signed]]


def encode(url: str) -> str:
    """Raises NotTried where no cluster would read it."""
    token = PREFIX + base64.urlsafe_b64encode(url.encode()).rstrip(b"=").decode()
    if len(token) > MOST_BYTES:
        raise NotTried(
            "TokenTooLarge",
            f"the token has {len(token):,} bytes, and EKS reads none of more than {MOST_BYTES:,}: the role's session is"
            " too large. Pod Identity's session tags travel along a change of role",
            remedy="Switch the tags off for the association (aws eks update-pod-identity-association"
            " --disable-session-tags), or sign in by IRSA",
        )
    return token


class Tokens:
    """Of one cluster and one identity."""

    def __init__(self, sign: Sign, *, now: Callable[[], SteadyMs]) -> None:
        """`sign` raises NotTried."""
        self._sign = sign
        self._now = now
        self._token = ""
        self._renew_at = NEVER
        self._good_until = NEVER
        self._turn = asyncio.Lock()

    async def token(self) -> str:
        """The one to send now. Raises NotTried."""
        async with self._turn:
            now = self._now()
            if now >= self._renew_at:
                try:
                    self._keep(await self._sign(), now)
                except NotTried:
                    if now >= self._good_until:
                        raise
                    self._renew_at = min(now + int(RETRY_SECONDS * 1000), self._good_until)
            return self._token

    def _keep(self, signed: Signed, now: SteadyMs) -> None:
        self._token = encode(signed.url)
        left = signed.seconds if signed.seconds is not None else GOOD_SECONDS + EARLY_SECONDS
        self._renew_at = now + int(1000 * min(REUSE_SECONDS, left - EARLY_SECONDS))
        self._good_until = now + int(1000 * min(GOOD_SECONDS, left))

    def forget(self) -> None:
        """It was refused: the next one is new."""
        self._renew_at = self._good_until = NEVER
