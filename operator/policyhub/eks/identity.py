"""What an AWS identity can tell and sign in one Region: blocking calls, made in threads, their errors in our words.

Clusters that one identity reaches share it: it signs in once for all of them.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar

from policyhub.cluster.fault import Fault
from policyhub.eks import description, diagnosis
from policyhub.eks.description import Arn, Description
from policyhub.eks.diagnosis import Caller
from policyhub.hub import advice
from policyhub.hub.caller_url import Signed
from policyhub.hub.credentials import Clients
from policyhub.hub.errors import CREDENTIALS, FAULTS, AccessLost, translate
from policyhub.kube.errors import NotTried

_MISSING = "ResourceNotFoundException"

T = TypeVar("T")


class Missing(Exception):  # noqa: N818  (it says what happened)
    """EKS knows no cluster of this name, in the account and Region of whoever asks."""


class Identity:
    """The operator's own, or a role that it assumes."""

    def __init__(self, clients: Clients, executor: Executor, *, role_arn: str) -> None:
        self._clients = clients
        self._executor = executor
        self._role_arn = role_arn

    async def describe(self, arn: Arn) -> Description:
        """Raises NotTried, Missing."""

        def ask() -> Mapping[str, Any]:
            return self._clients.eks().describe_cluster(name=arn.name)

        return description.read(await self._call(ask, "DescribeCluster", arn))

    async def sign(self, arn: Arn, cluster: str) -> Signed:
        """For the cluster's name, or the id that stands for it. Raises NotTried."""
        return await self._call(lambda: self._clients.caller_url(cluster), "AssumeRole", arn)

    async def caller(self, arn: Arn) -> Caller:
        """Who that is, or why STS does not say."""
        try:
            said = await self._call(lambda: self._clients.sts().get_caller_identity(), "GetCallerIdentity", arn)
        except NotTried as error:
            return Caller(
                principal=self._role_arn,
                trouble=Fault(error.reason, error.found, remedy=error.remedy),
                late=advice.is_clock("", error.found),
                refused=error.reason in {*CREDENTIALS, "AccessDenied"},
            )
        return Caller(
            account=str(said.get("Account", "")),
            principal=diagnosis.principal(str(said.get("Arn", "")), role_arn=self._role_arn),
        )

    async def _call(self, ask: Callable[[], T], operation: str, arn: Arn) -> T:
        """`operation` is that of the call, where no sign-in fails before it."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, ask)
        except FAULTS as fault:
            answer = getattr(fault, "response", {})
            if operation == "DescribeCluster" and answer.get("Error", {}).get("Code") == _MISSING:
                raise Missing from None
            secrets = self._clients.secrets()
            error = translate(fault, operation=operation, account=arn.account, region=arn.region, secrets=secrets)
            reason = error.kind if isinstance(error, AccessLost) else type(error).__name__
            if reason in CREDENTIALS:
                self._clients.renew()
            remedy = error.advice
            if getattr(fault, "operation_name", "") == "AssumeRole" and reason in {"AccessDenied", "Misconfigured"}:
                remedy = diagnosis.role_refused(arn, self._role_arn)
            raise NotTried(reason, error.found, remedy=remedy) from None
