"""Which clusters wait for which, when AWS accounts do not answer. There is no AWS: threads block until they are
released.
"""

import asyncio
import itertools
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError

from policyhub.eks.connector import WORKERS
from policyhub.eks.description import Arn
from policyhub.eks.identity import FAILED_SECONDS, TIMEOUT_SECONDS, Identity
from policyhub.kube.errors import NotTried
from policyhub.securityhub.caller_url import Signed
from policyhub.securityhub.credentials import CALL_SECONDS
from tests.unit.eks_tokens import Clock

ROLE = "arn:aws:iam::444455556666:role/policyhub"


def arn(number: int, account: str = "444455556666") -> Arn:
    return Arn.parse(f"arn:aws:eks:eu-west-1:{account}:cluster/c{number}")


class Clients:
    """Clients of one account. Its sign-ins, or only its calls, wait for `holds`; `fault` is the result of sign-ins."""

    def __init__(self) -> None:
        self.holds: dict[str, threading.Event] = {}
        self.reached = threading.Event()
        """Set while a thread waits."""
        self.fault: Exception | None = None
        self.calls: list[str] = []
        self.threads: set[str] = set()
        self.renewed = 0
        self.pages: Iterator[Mapping[str, Any]] = iter(())
        """The answers of ListClusters in order."""

    def _called(self, what: str) -> None:
        self.calls.append(what)
        self.threads.add(threading.current_thread().name)
        if what in self.holds:
            self.reached.set()
            self.holds[what].wait()

    def sign_in(self) -> None:
        self._called("sign_in")
        if self.fault is not None:
            raise self.fault

    def eks(self) -> "Clients":
        return self

    def sts(self) -> "Clients":
        return self

    def describe_cluster(self, *, name: str) -> Mapping[str, Any]:
        self._called("describe")
        return {"cluster": {"arn": name}}

    def list_clusters(self, **request: object) -> Mapping[str, Any]:
        self._called("list")
        return next(self.pages)

    def get_caller_identity(self) -> Mapping[str, Any]:
        self._called("caller")
        return {"Account": "444455556666", "Arn": ROLE}

    def caller_url(self, cluster: str) -> Signed:
        self._called("sign")
        return Signed(f"https://sts/{cluster}", None)

    def renew(self) -> None:
        self._called("renew")
        self.renewed += 1

    def secrets(self) -> frozenset[str]:
        self._called("secrets")
        return frozenset()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="eks") as made:
        yield made


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Set at the end in any case, so that nothing hangs."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("hangs", ["sign_in", "describe"])
async def test_an_unresponsive_account_delays_no_other(
    clock: Clock, pool: ThreadPoolExecutor, released: threading.Event, hangs: str
) -> None:
    """Two hundred clusters of it wait, more than there are threads; a cluster of another account does not."""
    dead, well = Clients(), Clients()
    dead.holds[hangs] = released
    away = Identity(dead, pool, role_arn=ROLE, now=clock)
    here = Identity(well, pool, role_arn="", now=clock)
    waiting = [asyncio.ensure_future(away.describe(arn(number))) for number in range(200)]
    await asyncio.to_thread(dead.reached.wait)
    signed = await asyncio.wait_for(here.sign(arn(0, "111122223333"), "c0"), 60)
    assert signed.url == "https://sts/c0"
    assert not any(task.done() for task in waiting)
    assert dead.calls.count("sign_in") == 1
    released.set()
    assert len({found.arn for found in await asyncio.gather(*waiting)}) == 200


async def test_an_unresponsive_eks_region_delays_no_token(
    clock: Clock, pool: ThreadPoolExecutor, released: threading.Event
) -> None:
    """Connected clusters keep signing in while others of the same identity wait for DescribeCluster."""
    clients = Clients()
    clients.holds["describe"] = released
    identity = Identity(clients, pool, role_arn=ROLE, now=clock)
    waiting = [asyncio.ensure_future(identity.describe(arn(number))) for number in range(WORKERS + 1)]
    await asyncio.to_thread(clients.reached.wait)
    await asyncio.wait_for(identity.sign(arn(0), "c0"), 60)
    released.set()
    await asyncio.gather(*waiting)


async def test_a_failed_sign_in_is_shared_and_cached(
    clock: Clock, pool: ThreadPoolExecutor, released: threading.Event
) -> None:
    """Each cluster reports it with its own ARN; none tries another one for some seconds."""
    clients = Clients()
    clients.holds["sign_in"] = released
    clients.fault = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole")
    identity = Identity(clients, pool, role_arn=ROLE, now=clock)
    waiting = [asyncio.ensure_future(identity.sign(arn(number), f"c{number}")) for number in range(5)]
    released.set()
    message = await asyncio.gather(*waiting, return_exceptions=True)
    for number, error in enumerate(message):
        assert isinstance(error, NotTried)
        assert error.reason == "AccessDenied"
        assert f"--eks={arn(number).text}" in error.remedy
    with pytest.raises(NotTried):
        await identity.describe(arn(7))
    assert clients.calls.count("sign_in") == 1
    clients.fault = None
    clock.ms += int(FAILED_SECONDS * 1000)
    await identity.sign(arn(0), "c0")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (NoCredentialsError(), "CredentialsMissing"),
        (ClientError({"Error": {"Code": "ExpiredToken"}}, "AssumeRole"), "CredentialsExpired"),
        (
            RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired."),
            "CredentialsExpired",
        ),
    ],
    ids=["none", "expired", "expired when they come"],
)
async def test_credentials_are_dropped_in_their_own_thread(
    clock: Clock, pool: ThreadPoolExecutor, fault: Exception, reason: str
) -> None:
    """Loading credentials holds a lock for as long as the network takes: the event loop does not wait for it."""
    clients = Clients()
    clients.fault = fault
    with pytest.raises(NotTried) as failure:
        await Identity(clients, pool, role_arn="", now=clock).sign(arn(0), "c0")
    assert failure.value.reason == reason
    assert clients.renewed == 1
    assert all(name.startswith("eks") for name in clients.threads)


async def test_expired_fresh_credentials_mean_a_wrong_clock(clock: Clock, pool: ThreadPoolExecutor) -> None:
    """Botocore only raises RuntimeError. Any other RuntimeError is an internal error."""
    clients = Clients()
    identity = Identity(clients, pool, role_arn="", now=clock)
    clients.fault = RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired.")
    with pytest.raises(NotTried, match="clock"):
        await identity.sign(arn(0), "c0")
    clock.ms += int(FAILED_SECONDS * 1000)
    clients.fault = RuntimeError("dictionary changed size during iteration")
    with pytest.raises(RuntimeError, match="dictionary"):
        await identity.sign(arn(0), "c0")


async def test_a_long_wait_reports_that_aws_does_not_answer(
    clock: Clock, pool: ThreadPoolExecutor, released: threading.Event
) -> None:
    """The cluster's own server was not contacted, so the message does not name it. `caller` ends, too."""
    clients = Clients()
    clients.holds["sign_in"] = released
    identity = Identity(clients, pool, role_arn="", now=clock, timeout_seconds=0.01)
    with pytest.raises(NotTried, match="AssumeRole in account 444455556666, eu-west-1: no answer") as failure:
        await identity.sign(arn(0), "c0")
    assert failure.value.reason == "Unavailable"
    caller = await identity.caller(arn(0))
    assert caller.fault is not None
    assert caller.fault.reason == "Unavailable"


async def test_a_network_error_keeps_the_session(clock: Clock, pool: ThreadPoolExecutor) -> None:
    """Other credentials would not help."""
    clients = Clients()
    clients.fault = ConnectTimeoutError(endpoint_url="https://sts.eu-west-1.amazonaws.com")
    with pytest.raises(NotTried):
        await Identity(clients, pool, role_arn="", now=clock).sign(arn(0), "c0")
    assert clients.renewed == 0


def test_patience_covers_a_sign_in_and_a_call() -> None:
    """A waiting caller gets AWS's or the network's error, if that comes within its limits."""
    assert TIMEOUT_SECONDS >= 2 * CALL_SECONDS


async def test_clusters_are_listed_to_the_last_page(clock: Clock, pool: ThreadPoolExecutor) -> None:
    """EKS returns a hundred names at a time; invalid names are dropped."""
    clients = Clients()
    first = {"clusters": [f"c{number}" for number in range(100)], "nextToken": "more"}
    clients.pages = iter([first, {"clusters": ["last", "no/name", ""]}])
    names = await Identity(clients, pool, role_arn=ROLE, now=clock).names(arn(0))
    assert len(names) == 101
    assert {"c0", "c99", "last"} <= names


async def test_an_endless_list_is_an_error(clock: Clock, pool: ThreadPoolExecutor) -> None:
    """A list with endless tokens is given up: half a list is no evidence of what is missing."""
    clients = Clients()
    clients.pages = itertools.repeat({"clusters": ["c0"], "nextToken": "more"})
    with pytest.raises(NotTried, match="returned more than"):
        await Identity(clients, pool, role_arn=ROLE, now=clock).names(arn(0))
