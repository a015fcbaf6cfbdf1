"""Signs in to AWS and creates the botocore clients: with the ambient credential chain, or with a role assumed by it.

Everything that botocore reads from its environment keeps its meaning: IRSA, Pod Identity, profiles, AWS_ENDPOINT_URL
and AWS_ENDPOINT_URL_SECURITYHUB, AWS_USE_FIPS_ENDPOINT, AWS_CA_BUNDLE, proxies. botocore renews an assumed role before
it expires, in whichever thread calls next.

STS is called in one Region, whatever Region the clients are for: its credentials are valid in all Regions of the
partition. AWS_ENDPOINT_URL_STS points to the STS of one Region, which rejects requests signed for another. So the
Region is the one in this URL, else the one that this process runs in (AWS_REGION), else that of the clients.

If FIPS is requested (AWS_USE_FIPS_ENDPOINT), STS and EKS are called at a FIPS endpoint in the Regions that have one:
for others botocore invents a name. Security Hub, which gets the findings, is always called at a FIPS endpoint.

Clients are thread-safe, sessions are not: clients are created once, under a lock. Creating one reads a service model
from disk (0.1 s, 15 MB), so it happens in the thread of the first call, and hubs share one loader of models.
"""

import contextlib
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, cast

import botocore.credentials
import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, InvalidEndpointConfigurationError, NoCredentialsError, UnknownRegionError

from policyhub import redaction
from policyhub.api.scalar import known_partition
from policyhub.securityhub import body, caller_url
from policyhub.securityhub.caller_url import Signed
from policyhub.securityhub.errors import NotLeader

CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 7.0
"""Seconds. A lost SYN is sent again after one second; AWS takes a second or two for an import of 100 findings."""
CALL_SECONDS = CONNECT_TIMEOUT + READ_TIMEOUT
"""How long a call can take until its outcome is known or counts as unknown; botocore retries none. It must be well
below the lease duration (`policyhub.kube.lease.Timing`): no call is sent that could still run when another replica
becomes the leader. If the network extends a call (several addresses that do not answer, a response byte by byte), the
process ends first, when its lease ends.
"""

_STS_HOST = re.compile(r"(?:^|[./])sts(?:-fips)?\.([a-z]{2,}(?:-[a-z]+)+-\d+)\.")
"""A Region's host: that of the public endpoint, or of a VPC endpoint."""
_CREDENTIAL_HEADERS = ("Authorization", "X-Amz-Security-Token")
_REMEMBERED = 16
"""Only the last ones that were sent: if an answer repeats one, it does so at once."""

SESSION_NAME = "policyhub"
"""The role session's name, as CloudTrail shows it."""


class SecurityHub(Protocol):
    """The used part of the Security Hub client."""

    def batch_import_findings(self, **request: object) -> Mapping[str, Any]: ...

    def get_findings(self, **request: object) -> Mapping[str, Any]: ...

    def describe_hub(self) -> Mapping[str, Any]: ...


class Sts(Protocol):
    """The used part of the STS client."""

    def get_caller_identity(self) -> Mapping[str, Any]: ...


class Eks(Protocol):
    """The used part of the EKS client."""

    def describe_cluster(self, *, name: str) -> Mapping[str, Any]: ...

    def list_clusters(self, **request: object) -> Mapping[str, Any]: ...


class Loader(Protocol):
    """botocore's loader of service models; only passed on."""


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
        may_send: Callable[[float], bool] = lambda _: True,
    ) -> None:
        """`workers` threads call at once; `loader` comes from `models()` and is shared by all hubs of a process.

        `may_send` is called in the calling thread for each request, including sign-ins, after it is signed and before
        it is sent, with the seconds that it can take. If it returns False, the request is not sent, and the call raises
        NotLeader.
        """
        self._region = region
        self._role_arn = role_arn
        self._external_id = external_id
        self._loader = loader
        self._config = Config(
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            max_pool_connections=max(workers, 1),
            parameter_validation=False,  # findings are validated where they are made; this would cost as much again
            retries={"mode": "standard", "total_max_attempts": 1},  # only our own loop retries: it knows the quotas
            user_agent_extra=f"policyhub/{version}",
        )
        self._may_send = may_send
        self._seconds = connect_timeout + read_timeout
        self._lock = threading.Lock()
        self._sent: deque[str] = deque(maxlen=_REMEMBERED)
        self._environment: Any = None
        """A botocore session that is only used to read the configuration."""
        self._session: Any = None
        self._used = threading.local()
        """`session`: the session that the thread used last."""
        self._clients: dict[str, Any] = {}
        self._caller_host: str | None = None
        self._sts_region: str | None = None

    def securityhub(self) -> SecurityHub:
        client: SecurityHub = self._client("securityhub")
        return client

    def sts(self) -> Sts:
        client: Sts = self._client("sts")
        return client

    def eks(self) -> Eks:
        client: Eks = self._client("eks")
        return client

    def sign_in(self) -> None:
        """Make sure that there are valid credentials; makes no call if there are. Raises what their source raises."""
        with _typed_errors():
            with self._lock:
                found = self._used_session().get_credentials()
            if found is None:
                raise NoCredentialsError
            found.get_frozen_credentials()

    def caller_url(self, cluster: str) -> Signed:
        """A signed request that proves our identity to the EKS cluster of this name. Makes no call but to sign in."""
        with _typed_errors():
            with self._lock:
                session = self._used_session()
                if self._caller_host is None:
                    self._caller_host = caller_url.host(session, self._config, fips=self._fips())
                host = self._caller_host
            return caller_url.sign(session.get_credentials(), host=host, region=self._region, cluster=cluster)

    def secrets(self) -> frozenset[str]:
        """What an answer may repeat, from AWS, a proxy, or any server behind an endpoint URL: must not be shown."""
        return redaction.of_environment(os.environ) | frozenset(self._sent)

    def renew(self) -> None:
        """Sign in again at the next call: a client keeps the credentials, or their absence, from its creation.

        Needed if a Pod Identity agent starts later than we do, or a credentials file is rewritten. It drops the session
        only if this thread used it last: another thread may have signed in again since.
        """
        with self._lock:
            if self._used.__dict__.get("session") is self._session:
                self._session = self._environment = None
                self._clients.clear()

    def close(self) -> None:
        """Close idle connections; running calls keep theirs to their end. Does not wait: if a thread is creating a
        client now, that client is closed when it is garbage-collected.
        """
        if self._lock.acquire(blocking=False):
            try:
                for client in self._clients.values():
                    client.close()
                self._clients.clear()
                self._session = None
            finally:
                self._lock.release()

    def _used_session(self) -> Any:
        """The current session, noted for this thread. Called under the lock."""
        if self._session is None:
            self._session = self._sign_in()
        self._used.session = self._session
        return self._session

    def _client(self, service: str) -> Any:
        with _typed_errors(), self._lock:
            session = self._used_session()
            if service not in self._clients:
                region = self._region_of_sts() if service == "sts" else self._region
                self._clients[service] = session.create_client(
                    service, region_name=region, config=self._configured(service, region)
                )
            return self._clients[service]

    def _sign_in(self) -> Any:
        if not self._role_arn:
            return self._new_session(self._region)
        sts_region = self._region_of_sts()
        ambient = self._new_session(sts_region)
        # botocore's default is the regional endpoint.
        source = ambient.create_client("sts", config=self._configured("sts", sts_region))
        request = {"RoleArn": self._role_arn, "RoleSessionName": SESSION_NAME}
        if self._external_id:
            request["ExternalId"] = self._external_id
        return self._new_session(self._region, _AssumedRole(source, request))

    def _region_of_sts(self) -> str:
        """The Region whose STS is called. Called under the lock."""
        if self._sts_region is None:
            core = self._configuration()
            named = _STS_HOST.search(os.environ.get("AWS_ENDPOINT_URL_STS", ""))
            here = named[1] if named else os.environ.get("AWS_REGION") or core.get_config_variable("region")
            try:
                near = here and core.get_partition_for_region(here) == core.get_partition_for_region(self._region)
            except UnknownRegionError:
                near = False
            self._sts_region = here if near else self._region
        return self._sts_region

    def _configuration(self) -> Any:
        """What botocore reads from environment and files. Called under the lock."""
        if self._environment is None:
            self._environment = _core(self._loader)
        return self._environment

    def _fips(self) -> bool:
        """Whether FIPS is requested. Called under the lock."""
        return bool(self._configuration().get_config_variable("use_fips_endpoint"))

    def _configured(self, service: str, region: str) -> Config:
        if not self._fips():
            return self._config
        there = service == "securityhub" or region in caller_url.fips_regions(service)
        return self._config.merge(Config(use_fips_endpoint=there))

    def _new_session(self, region: str, provider: "_AssumedRole | None" = None) -> Any:
        core = _core(self._loader)
        # Its clients inherit these settings, also the one that the chain creates to sign in by IRSA: with botocore's
        # defaults a call to STS could take up to five times 60 s.
        core.register("before-send", self._hold)
        core.set_default_client_config(self._config)
        if self._fips():
            core.set_config_variable("use_fips_endpoint", region in caller_url.fips_regions("sts"))
        body.write_for(core)
        if provider is not None:
            core.register_component("credential_provider", botocore.credentials.CredentialResolver([provider]))
        core.set_config_variable("region", region)
        return core

    def _hold(self, *, request: Any = None, **_: object) -> None:
        if not self._may_send(self._seconds):
            raise NotLeader
        for name in _CREDENTIAL_HEADERS:
            value = request.headers.get(name) if request is not None else None
            text = value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
            if text and text not in self._sent:
                self._sent.append(text)


@contextlib.contextmanager
def _typed_errors() -> Iterator[None]:
    """Turns the ValueError that botocore raises for an invalid endpoint URL into one of its own errors. Any client can
    cause it: ours, and those of STS that botocore or `_sign_in` creates to sign in.
    """
    try:
        yield
    except BotoCoreError:  # some of its own errors are ValueErrors, too
        raise
    except ValueError as error:
        raise InvalidEndpointConfigurationError(msg=str(error)) from error


class _AssumedRole:
    """A botocore credential provider. It does not call STS before the first signature."""

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


def _core(loader: Loader | None) -> Any:
    """A botocore session. Creating one takes 10 ms: it inspects the signatures of its 120 handlers."""
    core = botocore.session.get_session()
    if loader is not None:
        core.register_component("data_loader", loader)
    return core


def models() -> Loader:
    """A loader of service models for all hubs of a process: each loader keeps its own copy, 15 MB.

    A missing profile must not end the process: it is reported when a hub is opened (AwsConfiguration).
    """
    try:
        loader: Loader = botocore.session.get_session().get_component("data_loader")
    except BotoCoreError:
        return cast("Loader", botocore.loaders.create_loader())
    return loader


def check_configuration(loader: Loader | None = None) -> None:
    """Raises botocore's error for a configuration that names a missing profile or cannot be read."""
    _core(loader).get_scoped_config()


def partition(region: str) -> str:
    """`aws`, `aws-cn`, `aws-us-gov` … Raises botocore's UnknownRegionError if no partition has such a Region."""
    name = known_partition(region)
    if name is None:
        raise UnknownRegionError(region_name=region, error_msg="No partition has Regions of that name.")
    return name
