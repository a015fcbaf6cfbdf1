"""How long a token of an EKS cluster is used."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from policyhub.api.reason import Reason
from policyhub.clock import SteadyMs
from policyhub.eks import token
from policyhub.eks.token import TokenCache
from policyhub.kube.errors import NotTried
from policyhub.securityhub import caller_url
from policyhub.securityhub.caller_url import Signed

START = 1_790_000_000_000
MINUTE = 60_000


class Signer:
    """Signs with a number, valid for `seconds`; fails on request."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self.signed = 0
        self.tried = 0
        self.fails = False
        self.holds: asyncio.Event | None = None
        """A signature waits for this."""

    async def __call__(self) -> Signed:
        self.tried += 1
        if self.holds is not None:
            await self.holds.wait()
        if self.fails:
            raise NotTried(Reason.UNAVAILABLE, "no answer")
        self.signed += 1
        return Signed(f"https://sts/{self.signed}", self.seconds)


class Clock:
    def __init__(self) -> None:
        self.ms = START

    def __call__(self) -> SteadyMs:
        return SteadyMs(self.ms)


async def used(signer: Signer, *minutes: float) -> list[int]:
    """The signer's tokens that are used at these times."""
    clock = Clock()
    tokens = TokenCache(signer, now=clock)
    numbers = []
    for at in minutes:
        clock.ms = START + int(at * MINUTE)
        sent = await tokens.token()
        numbers.append(number(sent, signer))
        await settled()
    return numbers


def number(sent: str, signer: Signer) -> int:
    return next(n for n in range(1, signer.signed + 1) if sent == token.encode(f"https://sts/{n}"))


async def settled() -> None:
    """Wait for background renewals; nothing here takes time."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_token_is_used_for_twelve_minutes() -> None:
    """Requests share a token, because each new one costs EKS a call to STS; it is replaced in the background well
    before its fifteen minutes end.
    """
    assert await used(Signer(), 0, 0.01, 5, 11.99, 12, 12, 20, 23.99, 24, 24) == [1, 1, 1, 1, 1, 2, 2, 2, 2, 3]
    assert await used(Signer(), 0, 14) == [1, 2]


async def test_a_token_expires_with_its_credentials() -> None:
    """STS rejects a signature of expired credentials, however recent: the token is replaced a minute before."""
    assert await used(Signer(seconds=300), 0, 3.99, 4, 4, 7.99, 8, 8) == [1, 1, 1, 2, 2, 2, 3]
    assert await used(Signer(seconds=30), 0, 0.5) == [1, 2]


async def test_an_old_token_is_used_while_sign_in_fails() -> None:
    """A failing sign-in has no effect while the last token is valid, and is retried twice a minute; then it is
    reported.
    """
    signer, clock = Signer(), Clock()
    tokens = TokenCache(signer, now=clock)
    first = await tokens.token()
    signer.fails = True
    for seconds, tried in ((0, 2), (29, 2), (30, 3), (60, 4), (119, 5)):
        clock.ms = START + 12 * MINUTE + seconds * 1000
        assert await tokens.token() == first
        await settled()
        assert signer.tried == tried
    clock.ms = START + 14 * MINUTE
    with pytest.raises(NotTried, match="no answer"):
        await tokens.token()


async def test_a_token_is_not_used_longer_than_its_credentials() -> None:
    """If no new token can be made, the last one is used until its credentials expire, not for fourteen minutes."""
    signer, clock = Signer(seconds=300), Clock()
    tokens = TokenCache(signer, now=clock)
    await tokens.token()
    signer.fails = True
    clock.ms = START + 4 * MINUTE + 59_000
    await tokens.token()
    await settled()
    clock.ms = START + 5 * MINUTE + 29_000
    with pytest.raises(NotTried):
        await tokens.token()


async def test_a_rejected_token_is_not_used_again() -> None:
    """After `forget` only a new token is used."""
    signer, clock = Signer(), Clock()
    tokens = TokenCache(signer, now=clock)
    first = await tokens.token()
    tokens.forget()
    assert await tokens.token() != first
    tokens.forget()
    signer.fails = True
    with pytest.raises(NotTried):
        await tokens.token()


async def test_no_request_waits_while_the_token_is_valid() -> None:
    """All requests share one hanging renewal, which delays none before the token expires."""
    signer, clock = Signer(), Clock()
    tokens = TokenCache(signer, now=clock)
    first = await tokens.token()
    signer.holds = asyncio.Event()
    for minutes in (12, 13, 13.99):
        clock.ms = START + int(minutes * MINUTE)
        assert await asyncio.gather(*(tokens.token() for _ in range(10))) == [first] * 10
        await settled()
    assert signer.tried == 2
    clock.ms = START + 14 * MINUTE
    waiting = asyncio.gather(*(tokens.token() for _ in range(10)))
    await settled()
    assert not waiting.done()
    signer.holds.set()
    assert [number(sent, signer) for sent in await waiting] == [2] * 10
    assert signer.tried == 2


async def test_waiting_requests_share_one_failure() -> None:
    """A hundred requests that wait for a failing sign-in cause one sign-in, and so do those after them."""
    signer, clock = Signer(), Clock()
    tokens = TokenCache(signer, now=clock)
    signer.fails = True
    assert [type(e) for e in await asyncio.gather(*(tokens.token() for _ in range(100)), return_exceptions=True)] == [
        NotTried
    ] * 100
    with pytest.raises(NotTried):
        await tokens.token()
    assert signer.tried == 1
    signer.fails = False
    clock.ms += int(token.FAILED_SECONDS * 1000)
    assert number(await tokens.token(), signer) == 1


async def test_the_age_of_a_token_starts_with_its_signature() -> None:
    """The time of the sign-in before it does not count."""
    signer, clock = Signer(), Clock()
    tokens = TokenCache(signer, now=clock)
    signer.holds = asyncio.Event()
    waiting = asyncio.ensure_future(tokens.token())
    await settled()
    clock.ms += 13 * MINUTE
    signer.holds.set()
    assert await waiting == await tokens.token()
    await settled()
    assert signer.tried == 1


async def test_a_signature_during_a_rejection_is_dropped() -> None:
    """It may be of the rejected session."""
    signer, clock = Signer(), Clock()
    tokens = TokenCache(signer, now=clock)
    await tokens.token()
    clock.ms += 12 * MINUTE
    signer.holds = asyncio.Event()
    await tokens.token()
    await settled()
    tokens.forget()
    waiting = asyncio.ensure_future(tokens.token())
    await settled()
    signer.holds.set()
    await waiting
    await settled()
    assert (signer.tried, number(await tokens.token(), signer)) == (3, 3)


def test_a_token_that_is_too_long_is_reported() -> None:
    """EKS reads at most 4,096 bytes; the message names what makes sessions long."""
    head = len("k8s-aws-v1.")
    longest = "x" * ((4_096 - head) * 3 // 4)
    assert len(token.encode(longest)) <= 4_096
    with pytest.raises(NotTried, match="disable-session-tags") as refused:
        token.encode(longest + "xx")
    assert refused.value.reason == "TokenTooLarge"


def test_a_signed_url_is_not_shown() -> None:
    """Whoever has it can use it, and a log may print any value."""
    assert "Signature" not in repr(Signed("https://sts/?X-Amz-Signature=0123abcd", 60.0))


class Credentials:
    """Credentials that botocore renews: their lifetime is known after the first use, or changes meanwhile."""

    def __init__(self, *ends: datetime | None) -> None:
        self._ends = list(ends)
        self.access_key, self.secret_key, self.token = "AKIAEXAMPLE", "secret", "session"

    @property
    def _expiry_time(self) -> datetime | None:
        return self._ends.pop(0)

    def get_frozen_credentials(self) -> "Credentials":
        return self


@pytest.mark.parametrize(
    ("before", "after", "minutes"),
    [(None, 60, 60), (60, 60, 60), (8, 60, 8), (None, None, None)],
    ids=["first use", "known", "renewed by another thread", "keys that do not end"],
)
def test_the_lifetime_of_credentials_is_never_overestimated(
    before: int | None, after: int | None, minutes: int | None
) -> None:
    """Whichever credentials have signed, the token does not count as valid for longer than they are."""
    now = datetime.now(UTC)
    ends = [None if each is None else now + timedelta(minutes=each) for each in (before, after)]
    signed = caller_url.sign(Credentials(*ends), host="sts.eu-west-1.amazonaws.com", region="eu-west-1", cluster="a")
    assert signed.seconds == (None if minutes is None else pytest.approx(minutes * 60, abs=30))
