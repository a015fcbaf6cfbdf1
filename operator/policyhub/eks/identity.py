"""What an AWS identity can tell and sign in one Region: blocking calls, made in threads, their errors in our words.

Clusters that one identity reaches share it, and all of them share the threads. A call to an account or a Region that
does not answer takes ten seconds, which must not cost the others anything:

| of one identity          | at once                              | because                                            |
|--------------------------|--------------------------------------|----------------------------------------------------|
| a sign-in                | one; all who wait get its outcome,   | botocore lets each waiting thread make its own,    |
|                          | and a failure counts for some        | one after the other                                |
|                          | seconds                              |                                                    |
| a question to EKS or STS | `_QUESTIONS`                         | they must not take all threads                     |
| a signature              | any number                           | once signed in, it asks nobody                     |

Whoever waits longer than `patience` for all of that is told so. The event loop takes no lock that a thread can hold:
what an error means for the sign-in is decided in the thread that got it.
"""

import asyncio
import contextlib
import functools
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from typing import Any, Protocol, TypeVar

from policyhub.api.reason import Reason
from policyhub.clock import NEVER, SteadyMs
from policyhub.eks import description, diagnosis
from policyhub.eks.description import Arn, Description
from policyhub.eks.diagnosis import Caller
from policyhub.kube.errors import NotTried
from policyhub.securityhub import advice, credentials
from policyhub.securityhub.caller_url import Signed
from policyhub.securityhub.errors import CREDENTIALS, FAULTS, AccessLost, translate

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}")
"""Of a cluster, as an ARN takes it."""
_MISSING = "ResourceNotFoundException"
_QUESTIONS = 2
_PAGE = 100
"""Names, the most that EKS gives at once."""
_MOST_PAGES = 100
"""AWS raises the quota of 100 clusters a Region, to no known limit; 10,000 are none that anybody has."""
FAILED_SECONDS = 5.0
"""For which a sign-in that failed is not tried again: those who waited for it come back together."""
PATIENCE_SECONDS = 3 * credentials.CALL_SECONDS
"""For a sign-in, a question, and another one before it."""

T = TypeVar("T")


class Missing(Exception):  # noqa: N818  (it says what happened)
    """EKS knows no cluster of this name, in the account and Region of whoever asks."""


class Clients(Protocol):
    """What of `credentials.Clients` is used; in threads only."""

    def sign_in(self) -> None: ...

    def eks(self) -> credentials.Eks: ...

    def sts(self) -> credentials.Sts: ...

    def caller_url(self, cluster: str) -> Signed: ...

    def renew(self) -> None: ...

    def secrets(self) -> Iterable[str]: ...


class _Lost(Exception):  # noqa: N818  (it says what happened)
    """A call failed: `fault`, in whose text `secrets` may be. What is told of it differs by cluster."""

    def __init__(self, fault: Exception, secrets: frozenset[str]) -> None:
        super().__init__()
        self.fault = fault
        self.secrets = secrets


class Identity:
    """The operator's own, or a role that it assumes."""

    def __init__(
        self,
        clients: Clients,
        executor: Executor,
        *,
        role_arn: str,
        now: Callable[[], SteadyMs],
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._clients = clients
        self._executor = executor
        self._role_arn = role_arn
        self._now = now
        self._patience = patience
        self._questions = asyncio.Semaphore(_QUESTIONS)
        self._signing_in: asyncio.Future[_Lost | None] | None = None
        """Under way."""
        self._lost: _Lost | None = None
        """Why the last sign-in failed."""
        self._lost_until = NEVER

    async def describe(self, arn: Arn) -> Description:
        """Raises NotTried, Missing."""

        def ask() -> Mapping[str, Any]:
            return self._clients.eks().describe_cluster(name=arn.name)

        return description.read(await self._call(ask, "DescribeCluster", arn, turn=self._questions))

    async def names(self, place: Arn) -> frozenset[str]:
        """Of all clusters of the account and Region of `place`, but those of EKS Connector. Raises NotTried."""
        names: set[str] = set()
        more: dict[str, object] = {}
        for _ in range(_MOST_PAGES):
            ask = functools.partial(self._page, more)
            answer = await self._call(ask, "ListClusters", place, turn=self._questions)
            names.update(name for name in answer.get("clusters") or () if _NAME.fullmatch(str(name)))
            if not answer.get("nextToken"):
                return frozenset(names)
            more = {"nextToken": answer["nextToken"]}
        told = f"ListClusters in account {place.account}, {place.region} does not end after {_MOST_PAGES} pages"
        raise NotTried(Reason.UNAVAILABLE, told, remedy=advice.AWS_SIDE)

    def _page(self, more: Mapping[str, object]) -> Mapping[str, Any]:
        return self._clients.eks().list_clusters(maxResults=_PAGE, **more)

    async def sign(self, arn: Arn, cluster: str) -> Signed:
        """For the cluster's name, or the id that stands for it. Raises NotTried."""
        return await self._call(lambda: self._clients.caller_url(cluster), "AssumeRole", arn)

    async def caller(self, arn: Arn) -> Caller:
        """Who that is, or why STS does not say."""

        def ask() -> Mapping[str, Any]:
            return self._clients.sts().get_caller_identity()

        try:
            said = await self._call(ask, "GetCallerIdentity", arn, turn=self._questions)
        except NotTried as error:
            return Caller(
                principal=self._role_arn,
                trouble=error.cause,
                late=advice.is_clock("", error.found),
                refused=error.reason in {*CREDENTIALS, Reason.ACCESS_DENIED},
            )
        return Caller(
            account=str(said.get("Account", "")),
            principal=diagnosis.principal(str(said.get("Arn", "")), role_arn=self._role_arn),
        )

    async def _call(
        self, ask: Callable[[], T], operation: str, arn: Arn, *, turn: asyncio.Semaphore | None = None
    ) -> T:
        """`operation` is that of the call, where no sign-in fails before it. Raises NotTried; Missing of EKS."""
        try:
            async with asyncio.timeout(self._patience):
                await self._sign_in()
                async with turn or contextlib.nullcontext():
                    return await self._in_thread(ask)
        except _Lost as lost:
            answer = getattr(lost.fault, "response", {})
            asked = getattr(lost.fault, "operation_name", "")  # a sign-in by SSO has an error of the same code
            if operation == asked == "DescribeCluster" and answer.get("Error", {}).get("Code") == _MISSING:
                raise Missing from None
            raise self._told(lost, operation, arn) from None
        except TimeoutError:
            told = f"{operation} in account {arn.account}, {arn.region}: no answer within {self._patience:.0f} s"
            raise NotTried(Reason.UNAVAILABLE, told, remedy=advice.AWS_SIDE) from None

    async def _sign_in(self) -> None:
        """Raises _Lost."""
        if self._lost is not None and self._now() < self._lost_until:
            raise self._lost
        if self._signing_in is None:
            self._signing_in = asyncio.ensure_future(self._tried())
        lost = await asyncio.shield(self._signing_in)
        if lost is not None:
            raise lost

    async def _tried(self) -> _Lost | None:
        """A sign-in; goes on when those who asked for it do not wait any more."""
        self._lost = None
        try:
            await self._in_thread(self._clients.sign_in)
        except _Lost as lost:
            self._lost = lost
            self._lost_until = self._now() + int(FAILED_SECONDS * 1000)
        finally:
            self._signing_in = None
        return self._lost

    async def _in_thread(self, ask: Callable[[], T]) -> T:
        """Raises _Lost."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._blocking, ask)

    def _blocking(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except FAULTS as fault:
            lost = _Lost(fault, frozenset(self._clients.secrets()))
            error = translate(fault, operation="", account="", region="", secrets=lost.secrets)
            if isinstance(error, AccessLost) and error.kind in CREDENTIALS:
                self._clients.renew()
            raise lost from None

    def _told(self, lost: _Lost, operation: str, arn: Arn) -> NotTried:
        error = translate(lost.fault, operation=operation, account=arn.account, region=arn.region, secrets=lost.secrets)
        reason = error.reason
        remedy = error.advice
        asked = getattr(lost.fault, "operation_name", "")
        if asked == "AssumeRole" and reason in {Reason.ACCESS_DENIED, Reason.MISCONFIGURED}:
            remedy = diagnosis.role_refused(arn, self._role_arn)
        return NotTried(reason, error.found, remedy=remedy)
