"""What an AWS identity can tell and sign in one Region: blocking calls, made in threads, their errors in our words.

Clusters that one identity reaches share it: it signs in once for all of them.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar

from policyhub.eks import description, diagnosis
from policyhub.eks.description import Arn, Description
from policyhub.eks.diagnosis import Caller
from policyhub.hub.caller_url import Signed
from policyhub.hub.credentials import Clients
from policyhub.hub.errors import CREDENTIALS, FAULTS, AccessLost, HubError, translate

_MISSING = "ResourceNotFoundException"
_LATE = ("signature expired", "signature not yet current", "is now earlier than")
"""What AWS says where clocks differ; the codes are those of other mistakes too."""

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
        """Raises HubError, Missing."""

        def ask() -> Mapping[str, Any]:
            return self._clients.eks().describe_cluster(name=arn.name)

        return description.read(await self._call(ask, "DescribeCluster", arn))

    async def sign(self, arn: Arn, cluster: str) -> Signed:
        """For the cluster's name, or the id that stands for it. Raises HubError."""
        return await self._call(lambda: self._clients.caller_url(cluster), "AssumeRole", arn)

    async def caller(self, arn: Arn) -> Caller:
        """Who that is, or why STS does not say."""
        try:
            said = await self._call(lambda: self._clients.sts().get_caller_identity(), "GetCallerIdentity", arn)
        except HubError as error:
            late = any(words in error.message.casefold() for words in _LATE)
            return Caller(principal=self._role_arn, trouble=error.message, late=late)
        return Caller(
            account=str(said.get("Account", "")),
            principal=diagnosis.principal(str(said.get("Arn", "")), role_arn=self._role_arn),
        )

    async def _call(self, ask: Callable[[], T], operation: str, arn: Arn) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, ask)
        except FAULTS as fault:
            answer = getattr(fault, "response", {})
            if operation == "DescribeCluster" and answer.get("Error", {}).get("Code") == _MISSING:
                raise Missing from None
            secrets = self._clients.secrets()
            error = translate(fault, operation=operation, account=arn.account, region=arn.region, secrets=secrets)
            if isinstance(error, AccessLost) and error.kind in CREDENTIALS:
                self._clients.renew()
            raise error from None
