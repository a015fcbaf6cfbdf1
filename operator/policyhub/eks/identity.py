"""Calls to EKS and STS, and signatures, with one AWS identity in one Region. The calls block, so they run in threads.

All clusters that one identity reaches share it, and all identities share the threads. A call to an account or a Region
that does not answer takes ten seconds, which must not delay other clusters:

| for one identity         | at the same time                     | because                                            |
|--------------------------|--------------------------------------|----------------------------------------------------|
| sign-ins                 | one; all waiting calls get its       | botocore makes one for each waiting thread, one    |
|                          | result, and a failure is cached for  | after the other                                    |
|                          | some seconds                         |                                                    |
| calls to EKS or STS      | `_MAX_QUERIES`                       | they must not use all threads                      |
| signatures               | any number                           | they need no call once signed in                   |

A caller that waits longer than `timeout_seconds` gets an error. The event loop takes no lock that a thread can hold:
the thread that got an error decides what it means for the sign-in.
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
from policyhub.eks.diagnosis import CallerIdentity
from policyhub.kube.errors import NotTried
from policyhub.securityhub import advice, credentials
from policyhub.securityhub.caller_url import Signed
from policyhub.securityhub.errors import CALL_ERRORS, CREDENTIALS, AccessLost, translate

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}")
"""Valid names of clusters in an ARN."""
_MISSING = "ResourceNotFoundException"
_MAX_QUERIES = 2
_PAGE = 100
"""Names per page, the maximum of EKS."""
_MAX_PAGES = 100
"""AWS raises the quota of 100 clusters per Region on request, without a known limit; nobody has 10,000."""
FAILED_SECONDS = 5.0
"""A failed sign-in is not repeated for this long: all callers that waited for it retry at the same time."""
TIMEOUT_SECONDS = 3 * credentials.CALL_SECONDS
"""Enough for a sign-in, a call, and another call that comes first."""

T = TypeVar("T")


class ClusterMissing(Exception):
    """EKS has no cluster of this name in the account and Region of the calling identity."""


class Clients(Protocol):
    """The methods of `credentials.Clients` that are used; in threads only."""

    def sign_in(self) -> None: ...

    def eks(self) -> credentials.Eks: ...

    def sts(self) -> credentials.Sts: ...

    def caller_url(self, cluster: str) -> Signed: ...

    def renew(self) -> None: ...

    def secrets(self) -> Iterable[str]: ...


class _CallFailed(Exception):
    """A call failed with `fault`, whose text may contain `secrets`. The message that is made of it depends on the
    cluster.
    """

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
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._clients = clients
        self._executor = executor
        self._role_arn = role_arn
        self._now = now
        self._timeout_seconds = timeout_seconds
        self._query_slots = asyncio.Semaphore(_MAX_QUERIES)
        self._signing_in: asyncio.Future[_CallFailed | None] | None = None
        """In progress."""
        self._sign_in_failure: _CallFailed | None = None
        """Why the last sign-in failed."""
        self._retry_sign_in_at = NEVER

    async def describe(self, arn: Arn) -> Description:
        """Raises NotTried, ClusterMissing."""

        def ask() -> Mapping[str, Any]:
            return self._clients.eks().describe_cluster(name=arn.name)

        return description.read(await self._call(ask, "DescribeCluster", arn, slot=self._query_slots))

    async def names(self, arn: Arn) -> frozenset[str]:
        """Names of all clusters in the identity's account and Region, except those of EKS Connector. `arn` is for error
        messages. Raises NotTried.
        """
        names: set[str] = set()
        page_params: dict[str, object] = {}
        for _ in range(_MAX_PAGES):
            ask = functools.partial(self._page, page_params)
            answer = await self._call(ask, "ListClusters", arn, slot=self._query_slots)
            names.update(name for name in answer.get("clusters") or () if _NAME.fullmatch(str(name)))
            if not answer.get("nextToken"):
                return frozenset(names)
            page_params = {"nextToken": answer["nextToken"]}
        message = f"ListClusters in account {arn.account}, {arn.region} returned more than {_MAX_PAGES} pages"
        raise NotTried(Reason.UNAVAILABLE, message, remedy=advice.AWS_SIDE)

    def _page(self, page_params: Mapping[str, object]) -> Mapping[str, Any]:
        return self._clients.eks().list_clusters(maxResults=_PAGE, **page_params)

    async def sign(self, arn: Arn, cluster: str) -> Signed:
        """The URL signed for `cluster`: its name, or its id on Outposts. Raises NotTried."""
        return await self._call(lambda: self._clients.caller_url(cluster), "AssumeRole", arn)

    async def caller(self, arn: Arn) -> CallerIdentity:
        """The result of GetCallerIdentity, or why STS did not answer."""

        def ask() -> Mapping[str, Any]:
            return self._clients.sts().get_caller_identity()

        try:
            answer = await self._call(ask, "GetCallerIdentity", arn, slot=self._query_slots)
        except NotTried as error:
            return CallerIdentity(
                principal=self._role_arn,
                fault=error.cause,
                clock_skewed=advice.is_clock("", error.found),
                credentials_rejected=error.reason in {*CREDENTIALS, Reason.ACCESS_DENIED},
            )
        return CallerIdentity(
            account=str(answer.get("Account", "")),
            principal=diagnosis.principal(str(answer.get("Arn", "")), role_arn=self._role_arn),
        )

    async def _call(
        self, ask: Callable[[], T], operation: str, arn: Arn, *, slot: asyncio.Semaphore | None = None
    ) -> T:
        """`operation` names the call in errors, unless a sign-in before it fails. Raises NotTried; for DescribeCluster
        also ClusterMissing.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._sign_in()
                async with slot or contextlib.nullcontext():
                    return await self._in_thread(ask)
        except _CallFailed as failure:
            answer = getattr(failure.fault, "response", {})
            failed = getattr(failure.fault, "operation_name", "")  # a sign-in by SSO has an error of the same code
            if operation == failed == "DescribeCluster" and answer.get("Error", {}).get("Code") == _MISSING:
                raise ClusterMissing from None
            raise self._not_tried(failure, operation, arn) from None
        except TimeoutError:
            message = (
                f"{operation} in account {arn.account}, {arn.region}: no answer within {self._timeout_seconds:.0f} s"
            )
            raise NotTried(Reason.UNAVAILABLE, message, remedy=advice.AWS_SIDE) from None

    async def _sign_in(self) -> None:
        """Raises _CallFailed."""
        if self._sign_in_failure is not None and self._now() < self._retry_sign_in_at:
            raise self._sign_in_failure
        if self._signing_in is None:
            self._signing_in = asyncio.ensure_future(self._attempt_sign_in())
        failure = await asyncio.shield(self._signing_in)
        if failure is not None:
            raise failure

    async def _attempt_sign_in(self) -> _CallFailed | None:
        """One sign-in; continues even if no caller waits any more."""
        self._sign_in_failure = None
        try:
            await self._in_thread(self._clients.sign_in)
        except _CallFailed as failure:
            self._sign_in_failure = failure
            self._retry_sign_in_at = self._now() + int(FAILED_SECONDS * 1000)
        finally:
            self._signing_in = None
        return self._sign_in_failure

    async def _in_thread(self, ask: Callable[[], T]) -> T:
        """Raises _CallFailed."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._blocking, ask)

    def _blocking(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except CALL_ERRORS as fault:
            failure = _CallFailed(fault, frozenset(self._clients.secrets()))
            error = translate(fault, operation="", account="", region="", secrets=failure.secrets)
            if isinstance(error, AccessLost) and error.kind in CREDENTIALS:
                self._clients.renew()
            raise failure from None

    def _not_tried(self, failure: _CallFailed, operation: str, arn: Arn) -> NotTried:
        error = translate(
            failure.fault, operation=operation, account=arn.account, region=arn.region, secrets=failure.secrets
        )
        reason = error.reason
        remedy = error.advice
        failed = getattr(failure.fault, "operation_name", "")
        if failed == "AssumeRole" and reason in {Reason.ACCESS_DENIED, Reason.MISCONFIGURED}:
            remedy = diagnosis.role_refused(arn, self._role_arn)
        return NotTried(reason, error.found, remedy=remedy)
