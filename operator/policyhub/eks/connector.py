"""Connects to one EKS cluster: finds its endpoint, creates its token, and explains failures.

DescribeCluster is called for each new connection: at the start, and after the previous connection was given up; never
for a request. If the call fails (throttled, or the permission is gone), its last answer is used. Only in the cluster's
own account does "not found" mean that the cluster is gone.
"""

import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

import policyhub
from policyhub.api.eks import Eks
from policyhub.api.reason import Cause, Reason
from policyhub.clock import SteadyMs
from policyhub.cluster.contact import connection_fault
from policyhub.eks import description, diagnosis, endpoint
from policyhub.eks.description import Arn, Description
from policyhub.eks.identity import ClusterMissing, Identity
from policyhub.eks.token import TokenCache
from policyhub.kube import kubeconfig
from policyhub.kube.connection import Connection, Refused, Unreachable
from policyhub.kube.errors import NotTried
from policyhub.kube.kubeconfig import Access, KubeconfigError
from policyhub.securityhub.caller_url import Signed
from policyhub.securityhub.credentials import Clients, Loader

log = structlog.get_logger(__name__)

WORKERS = 64
"""Maximum number of threads for calls to EKS and STS; they start when needed. A call takes a tenth of a second. A call
to an account that does not answer takes ten seconds, and occupies one or two threads."""
_CONNECTIONS = 8
"""Open connections per identity."""


class Connector:
    """For one cluster of one MonitoredCluster."""

    def __init__(
        self,
        eks: Eks,
        arn: str,
        *,
        name: str,
        identity: Identity,
        now: Callable[[], SteadyMs],
        hosts: Sequence[str],
    ) -> None:
        """`name` is that of the MonitoredCluster; `hosts` as in `EksClusters`."""
        self._eks = eks
        self._hosts = hosts
        self._arn = Arn.parse(arn)
        self._name = name
        self._identity = identity
        self._now = now
        self._signed_name = self._arn.name
        self._tokens = TokenCache(self._sign, now=now)
        self._description: Description | None = None
        """The last answer of DescribeCluster."""
        self._describe_failure = ""
        """Why the last DescribeCluster failed, as the end of a sentence; empty if it succeeded."""

    async def connect(self) -> Connection:
        """Raises NotTried."""
        access = await self._access()
        await self._tokens.token()
        try:
            return Connection(access, token=self._tokens.token, forget=self._tokens.forget)
        except KubeconfigError as error:
            raise self._invalid(error.found) from None

    async def explain(self, error: Exception) -> Cause:
        """Why the connection failed. A refused token is not sent again."""
        match error:
            case Refused(status=401):
                self._tokens.forget()
                caller = await self._identity.caller(self._arn)
                return diagnosis.unauthorized(self._arn, caller, self._description, detail=str(error))
            case Refused(status=403):
                return diagnosis.forbidden(str(error))
            case NotTried():
                return connection_fault(error)
            case Unreachable():
                detail = f"{error}{self._describe_failure}"
                return diagnosis.unreachable(self._description, server=self._server(), detail=detail)
            case _:
                return connection_fault(error)

    # -- the endpoint ---------------------------------------------------------------------------------------------

    async def _access(self) -> Access:
        """Raises NotTried."""
        if self._eks.endpoint and self._eks.certificate_authority_data:
            return self._checked(self._eks.endpoint, self._eks.certificate_authority_data)
        found = await self._describe()
        signed_name = found.local_id or self._arn.name
        if signed_name != self._signed_name:
            self._signed_name = signed_name
            self._tokens.forget()
        return self._checked(found.endpoint, found.authority)

    async def _describe(self) -> Description:
        """Raises NotTried."""
        try:
            found = await self._identity.describe(self._arn)
        except ClusterMissing:
            self._description = None
            caller = await self._identity.caller(self._arn)
            raise _not_tried(diagnosis.gone(self._arn, caller, name=self._name)) from None
        except NotTried as error:
            if self._description is None:
                raise
            log.warning("cluster_not_described", cluster=self._name, reason=error.reason, message=error.found)
            self._describe_failure = (
                f". The endpoint is from an earlier DescribeCluster; the last one failed: {error.found}"
            )
            return self._description
        self._describe_failure = ""
        if found.arn != self._arn.text:
            self._description = None
            raise NotTried(
                Reason.CLUSTER_NOT_FOUND,
                f"the operator's AWS identity finds the EKS cluster {found.arn or 'of an unknown ARN'}, not"
                f" {self._arn.text}",
                remedy=diagnosis.another_account(self._arn),
            )
        if (fault := description.blocking_fault(self._arn, found)) is not None:
            self._description = None
            raise _not_tried(fault)
        self._description = found
        return found

    def _checked(self, server: str, authority: str) -> Access:
        """Access to an endpoint, whether the spec or DescribeCluster names it. Raises NotTried."""
        problems = kubeconfig.server_problems(server, untrusted=True)
        content = kubeconfig.pem({"authority": authority}, "authority", problems)
        if problems:
            raise self._invalid("; ".join(problems))
        if not endpoint.is_allowed(server, self._arn, self._hosts):
            described = not self._eks.endpoint
            raise _not_tried(diagnosis.untrusted_endpoint(self._arn, endpoint.host(server), described=described))
        return Access(server=server.rstrip("/"), authority=content, untrusted=True)

    def _invalid(self, why: str) -> NotTried:
        if self._eks.endpoint:
            source, remedy = (
                "spec.connection.eks contains",
                "Set endpoint and certificateAuthorityData to the values that",
            )
        else:
            source, remedy = (
                "EKS returned",
                "Check AWS_ENDPOINT_URL… in the operator's environment, and compare with what",
            )
        where = f"aws eks describe-cluster --region {self._arn.region} --name {self._arn.name} prints"
        found = f"the endpoint and certificate authority that {source} for {self._arn.name} cannot be used: {why}"
        return NotTried(Reason.ENDPOINT_INVALID, found, remedy=f"{remedy} {where}")

    def _server(self) -> str:
        return self._eks.endpoint or (self._description.endpoint if self._description is not None else self._arn.name)

    async def _sign(self) -> Signed:
        """Raises NotTried."""
        return await self._identity.sign(self._arn, self._signed_name)


def _not_tried(fault: Cause) -> NotTried:
    return NotTried(fault.reason, fault.message, remedy=fault.remedy)


class EksClusters:
    """Creates connectors, and the identities that they share."""

    def __init__(self, *, now: Callable[[], SteadyMs], hosts: Sequence[str] = (), loader: Loader | None = None) -> None:
        """`now` must run while the machine sleeps, since tokens expire meanwhile. `hosts` may receive tokens, in
        addition to those of EKS, see `endpoint`; `loader` as in `credentials.Clients`.
        """
        self._now = now
        self._hosts = hosts
        self._loader = loader
        self._executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="eks")
        self._identities: weakref.WeakValueDictionary[tuple[str, str, str], Identity] = weakref.WeakValueDictionary()
        """By Region, role and external id."""

    def connector(self, eks: Eks, arn: str, *, name: str) -> Connector:
        """For the cluster with this ARN; `name` is that of the MonitoredCluster."""
        identity = self.identity(Arn.parse(arn).region, eks.role_arn or "", eks.external_id or "")
        return Connector(eks, arn, name=name, identity=identity, now=self._now, hosts=self._hosts)

    def identity(self, region: str, role_arn: str, external_id: str) -> Identity:
        """The identity for a Region, shared by all callers that hold it. Without a role it is the operator's own."""
        key = region, role_arn, external_id
        identity = self._identities.get(key)
        if identity is None:
            clients = Clients(
                region=region,
                version=policyhub.__version__,
                role_arn=role_arn,
                external_id=external_id,
                workers=_CONNECTIONS,
                loader=self._loader,
            )
            identity = self._identities[key] = Identity(clients, self._executor, role_arn=role_arn, now=self._now)
        return identity

    def close(self) -> None:
        """Calls in progress finish in their threads; the process waits for them before it exits."""
        self._executor.shutdown(wait=False, cancel_futures=True)
