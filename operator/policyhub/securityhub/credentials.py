"""Who we are to AWS, and the botocore clients that say so: the ambient chain, or a role assumed with it.

All that botocore reads from its environment keeps its meaning: IRSA, Pod Identity, profiles, AWS_ENDPOINT_URL and
AWS_ENDPOINT_URL_SECURITYHUB, AWS_USE_FIPS_ENDPOINT, AWS_CA_BUNDLE, proxies. An assumed role is renewed by botocore
before it expires, in whichever thread calls next.

STS is asked in one Region, whatever Region the clients are for: what it gives holds in all Regions of the partition.
AWS_ENDPOINT_URL_STS leads to the STS of one Region, which refuses what is signed for another. So it is the Region that
this URL names, else the one that this process runs in (AWS_REGION), else that of the clients.

Where FIPS is asked for (AWS_USE_FIPS_ENDPOINT), STS and EKS are asked at a FIPS endpoint in the Regions that have one:
for others botocore makes up a name. For Security Hub, where the findings go, nothing else takes its place.

Clients are thread-safe, sessions are not: clients are made once, under a lock. Making one reads a service model from
disk (0.1 s, 15 MB), so it happens in the thread of the first call, and hubs share one loader of models.
"""

import os
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping
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
"""Seconds. One lost SYN is sent again after one second; an import of 100 findings takes AWS a second or two."""
CALL_SECONDS = CONNECT_TIMEOUT + READ_TIMEOUT
"""How long a call can take from when it leaves until its outcome is known, or called unknown; botocore repeats none. It
must be well below the time for which a lease is held (`policyhub.lease.Timing`): no call leaves that could still be
under way when another replica begins. A network that stretches it (several addresses that do not answer, an answer byte
by byte) meets the end of the process, which comes with the end of the lease.
"""

_STS_HOST = re.compile(r"(?:^|[./])sts(?:-fips)?\.([a-z]{2,}(?:-[a-z]+)+-\d+)\.")
"""Of a Region: a public endpoint, or a VPC's."""
_CREDENTIAL_HEADERS = ("Authorization", "X-Amz-Security-Token")
_REMEMBERED = 16
"""Of what was sent, the last ones: what comes back, comes back at once."""

SESSION_NAME = "policyhub"
"""The role session's name, as CloudTrail shows it."""


class SecurityHub(Protocol):
    """What of the Security Hub client is used."""

    def batch_import_findings(self, **request: object) -> Mapping[str, Any]: ...

    def get_findings(self, **request: object) -> Mapping[str, Any]: ...

    def describe_hub(self) -> Mapping[str, Any]: ...


class Sts(Protocol):
    """What of the STS client is used."""

    def get_caller_identity(self) -> Mapping[str, Any]: ...


class Eks(Protocol):
    """What of the EKS client is used."""

    def describe_cluster(self, *, name: str) -> Mapping[str, Any]: ...

    def list_clusters(self, **request: object) -> Mapping[str, Any]: ...


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
        permit: Callable[[float], bool] = lambda _: True,
    ) -> None:
        """`workers` threads call at once; `loader` from `models()`, shared by all hubs of a process.

        `permit` is asked in the calling thread for each request, sign-ins too, when it is signed and about to leave:
        with the seconds that it can take. Where it says no, the request is not sent, and the call raises NotLeader.
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
            retries={"mode": "standard", "total_max_attempts": 1},  # one retry loop, ours, which knows the quotas
            user_agent_extra=f"policyhub/{version}",
        )
        self._permit = permit
        self._seconds = connect_timeout + read_timeout
        self._lock = threading.Lock()
        self._sent: deque[str] = deque(maxlen=_REMEMBERED)
        self._environment: Any = None
        """A botocore session that is only asked what is configured."""
        self._session: Any = None
        self._used = threading.local()
        """`session`: that which the thread has used last."""
        self._made: dict[str, Any] = {}
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
        """Have credentials that are good; asks nobody where they are. Raises what their source raises."""
        with self._lock:
            found = self._used_session().get_credentials()
        if found is None:
            raise NoCredentialsError
        found.get_frozen_credentials()

    def caller_url(self, cluster: str) -> Signed:
        """A signed request that tells who we are, for the EKS cluster of that name. Nothing is sent, but to sign in."""
        with self._lock:
            session = self._used_session()
            if self._caller_host is None:
                self._caller_host = caller_url.host(session, self._config, fips=self._fips())
            place = self._caller_host
        return caller_url.sign(session.get_credentials(), host=place, region=self._region, cluster=cluster)

    def secrets(self) -> frozenset[str]:
        """What may be sent back by AWS, by a proxy, or by whatever an endpoint's URL leads to: not to be shown."""
        return redaction.of_environment(os.environ) | frozenset(self._sent)

    def renew(self) -> None:
        """Sign in again at the next call: a client keeps the credentials, or the lack of them, that it began with.

        A Pod Identity agent that starts later than we do, or a credentials file that is written again, needs this. It
        gives up what this thread has used last: another thread may have signed in again since.
        """
        with self._lock:
            if self._used.__dict__.get("session") is self._session:
                self._session = self._environment = None
                self._made.clear()

    def close(self) -> None:
        """Close idle connections; calls under way keep theirs to their end. Waits for nothing: where a thread makes a
        client just now, that one is closed when it is collected.
        """
        if self._lock.acquire(blocking=False):
            try:
                for client in self._made.values():
                    client.close()
                self._made.clear()
                self._session = None
            finally:
                self._lock.release()

    def _used_session(self) -> Any:
        """The current one, for this thread. Called under the lock."""
        if self._session is None:
            self._session = self._sign_in()
        self._used.session = self._session
        return self._session

    def _client(self, service: str) -> Any:
        with self._lock:
            session = self._used_session()
            if service not in self._made:
                region = self._home() if service == "sts" else self._region
                try:
                    self._made[service] = session.create_client(
                        service, region_name=region, config=self._configured(service, region)
                    )
                except ValueError as error:  # what botocore has for an endpoint URL that is none
                    raise InvalidEndpointConfigurationError(msg=str(error)) from error
            return self._made[service]

    def _sign_in(self) -> Any:
        if not self._role_arn:
            return self._new_session(self._region)
        home = self._home()
        ambient = self._new_session(home)
        # Regional: that is botocore's default.
        source = ambient.create_client("sts", config=self._configured("sts", home))
        request = {"RoleArn": self._role_arn, "RoleSessionName": SESSION_NAME}
        if self._external_id:
            request["ExternalId"] = self._external_id
        return self._new_session(self._region, _AssumedRole(source, request))

    def _home(self) -> str:
        """The Region whose STS is asked. Called under the lock."""
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
        """Whether it is asked for. Called under the lock."""
        return bool(self._configuration().get_config_variable("use_fips_endpoint"))

    def _configured(self, service: str, region: str) -> Config:
        if not self._fips():
            return self._config
        there = service == "securityhub" or region in caller_url.fips_regions(service)
        return self._config.merge(Config(use_fips_endpoint=there))

    def _new_session(self, region: str, provider: "_AssumedRole | None" = None) -> Any:
        core = _core(self._loader)
        # Its clients inherit what follows, also the one that the chain makes to sign in by IRSA: for STS botocore would
        # wait up to five times 60 s.
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
        if not self._permit(self._seconds):
            raise NotLeader
        for name in _CREDENTIAL_HEADERS:
            value = request.headers.get(name) if request is not None else None
            text = value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
            if text and text not in self._sent:
                self._sent.append(text)


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


def _core(loader: Loader | None) -> Any:
    """A botocore session. Making one costs 10 ms: it looks at the signature of each of its 120 handlers."""
    core = botocore.session.get_session()
    if loader is not None:
        core.register_component("data_loader", loader)
    return core


def models() -> Loader:
    """A loader of service models for all hubs of a process: each of its own would keep its own copy, 15 MB.

    A profile that is not there must not end the process: whoever opens a hub is told of it (AwsConfiguration).
    """
    try:
        loader: Loader = botocore.session.get_session().get_component("data_loader")
    except BotoCoreError:
        return cast("Loader", botocore.loaders.create_loader())
    return loader


def check_configuration(loader: Loader | None = None) -> None:
    """Raises what botocore has for a configuration that names a profile which is not there, or that cannot be read."""
    _core(loader).get_scoped_config()


def partition(region: str) -> str:
    """`aws`, `aws-cn`, `aws-us-gov` … Raises botocore's UnknownRegionError where no partition has such a Region."""
    name = known_partition(region)
    if name is None:
        raise UnknownRegionError(region_name=region, error_msg="No partition has Regions of that name.")
    return name
