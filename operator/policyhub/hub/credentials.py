"""Who we are to AWS, and the boto3 clients that say so: the ambient chain, or a role assumed with it.

Everything that boto3 reads from its environment keeps its meaning: IRSA, Pod Identity, profiles, AWS_ENDPOINT_URL and
AWS_ENDPOINT_URL_SECURITYHUB, AWS_USE_FIPS_ENDPOINT, AWS_CA_BUNDLE, proxies. An assumed role is renewed by botocore
before it expires, in whichever thread calls next.

boto3 clients are thread-safe, sessions are not: clients are made once, under a lock. Making one reads a service model
from disk (0.1 s, 15 MB), so it happens in the thread of the first call, and hubs share one loader of models.
"""

import threading
from collections.abc import Mapping
from typing import Any, Protocol

import boto3
import botocore.credentials
import botocore.session
from botocore.config import Config
from botocore.exceptions import InvalidEndpointConfigurationError

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
"""Seconds. An import of 100 findings takes AWS a second or two; 30 s without an answer is an unknown outcome."""

SESSION_NAME = "policyhub"
"""The role session's name, as CloudTrail shows it."""


class SecurityHub(Protocol):
    """What of boto3's Security Hub client is used."""

    def batch_import_findings(self, **request: object) -> Mapping[str, Any]: ...

    def get_findings(self, **request: object) -> Mapping[str, Any]: ...


class Sts(Protocol):
    """What of boto3's STS client is used."""

    def get_caller_identity(self) -> Mapping[str, Any]: ...


class Loader(Protocol):
    """botocore's loader of service models; only handed on."""


class Clients:
    """The clients of one hub: one Region, one role. Thread-safe. The first call for each service reads files."""

    def __init__(
        self,
        *,
        region: str,
        version: str,
        role_arn: str = "",
        external_id: str = "",
        workers: int = 4,
        loader: Loader | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
        read_timeout: float = READ_TIMEOUT,
    ) -> None:
        """`workers` threads call at once; `loader` from `models()`, shared by all hubs of a process."""
        self._region = region
        self._role_arn = role_arn
        self._external_id = external_id
        self._loader = loader
        self._config = Config(
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            max_pool_connections=max(workers, 1),
            parameter_validation=False,  # findings are validated where they are made; this would cost as much again
            retries={"mode": "standard", "total_max_attempts": 1},  # one retry loop, ours, which knows the quotas
            user_agent_extra=f"policyhub/{version}",
        )
        self._lock = threading.Lock()
        self._session: Any = None
        self._made: dict[str, Any] = {}

    def securityhub(self) -> SecurityHub:
        client: SecurityHub = self._client("securityhub")
        return client

    def sts(self) -> Sts:
        client: Sts = self._client("sts")
        return client

    def renew(self) -> None:
        """Sign in anew at the next call: a client keeps the credentials, or the lack of them, that it began with.

        A Pod Identity agent that starts later than we do, or a credentials file that is written again, needs this.
        """
        with self._lock:
            self._session = None
            self._made.clear()

    def _client(self, service: str) -> Any:
        with self._lock:
            if service not in self._made:
                if self._session is None:
                    self._session = self._sign_in()
                try:
                    self._made[service] = self._session.client(service, config=self._config)
                except ValueError as error:  # what boto3 has for an endpoint URL that is none
                    raise InvalidEndpointConfigurationError(msg=str(error)) from error
            return self._made[service]

    def _sign_in(self) -> Any:
        ambient = self._new_session()
        if not self._role_arn:
            return ambient
        source = ambient.client("sts", config=self._config)  # regional: that is botocore's default
        request = {"RoleArn": self._role_arn, "RoleSessionName": SESSION_NAME}
        if self._external_id:
            request["ExternalId"] = self._external_id
        return self._new_session(_AssumedRole(source, request))

    def _new_session(self, provider: "_AssumedRole | None" = None) -> Any:
        core = botocore.session.get_session()
        if self._loader is not None:
            core.register_component("data_loader", self._loader)
        if provider is not None:
            core.register_component("credential_provider", botocore.credentials.CredentialResolver([provider]))
        return boto3.Session(botocore_session=core, region_name=self._region)


class _AssumedRole:
    """A botocore credential provider. Nothing is asked of STS before the first signature."""

    METHOD = "assume-role"
    CANONICAL_NAME = None

    def __init__(self, sts: Any, request: Mapping[str, str]) -> None:
        self._sts = sts
        self._request = request

    def load(self) -> Any:
        return botocore.credentials.DeferredRefreshableCredentials(refresh_using=self._fetch, method=self.METHOD)

    def _fetch(self) -> dict[str, str]:
        granted = self._sts.assume_role(**self._request)["Credentials"]
        return {
            "access_key": granted["AccessKeyId"],
            "secret_key": granted["SecretAccessKey"],
            "token": granted["SessionToken"],
            "expiry_time": granted["Expiration"].isoformat(),
        }


def models() -> Loader:
    """A loader of service models for all hubs of a process: each of its own would keep its own copy, 15 MB."""
    loader: Loader = botocore.session.get_session().get_component("data_loader")
    return loader


def partition(region: str) -> str:
    """`aws`, `aws-cn`, `aws-us-gov` … Raises botocore's UnknownRegionError where botocore knows no such Region."""
    name: str = boto3.Session().get_partition_for_region(region)
    return name
