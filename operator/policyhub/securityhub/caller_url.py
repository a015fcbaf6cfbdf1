"""A presigned `GetCallerIdentity` for an EKS cluster: whoever sends it to STS learns who signed it, and nothing else.

`aws eks get-token` puts the same URL into a token. The API server's authenticator forwards it to STS, so it must follow
the authenticator's rules (kubernetes-sigs/aws-iam-authenticator@6586a42, pkg/token/token.go):

| rule                                                 | here                                                         |
|------------------------------------------------------|--------------------------------------------------------------|
| https, path `/`, an STS host of the cluster's        | the regional host that botocore knows: never a VPC           |
| partition                                            | endpoint's (AWS_ENDPOINT_URL_STS), the global one, or a FIPS |
|                                                      | host that does not exist                                     |
| only the query keys of a presigned call              | none is added                                                |
| the header x-k8s-aws-id, the cluster's name, signed  | signed together with `host`, no other header                 |
| X-Amz-Expires from 0 to 900, but ignored: the URL is | 60, as in the AWS CLI                                        |
| valid for 15 minutes                                 |                                                              |

Signing makes no call. If the credentials have to be renewed first, that does.
"""

import functools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import NoCredentialsError
from botocore.loaders import create_loader

CLUSTER_HEADER = "x-k8s-aws-id"
_EXPIRES = 60
_REGIONAL = "sts_regional_endpoints"


@dataclass(frozen=True, slots=True)
class Signed:
    url: str = field(repr=False)
    seconds: float | None
    """Remaining validity of the credentials that signed it; None: unlimited. The signature expires with them."""


def host(session: Any, config: Config, *, fips: bool) -> str:
    """The STS host in the Region of a botocore session, whatever endpoint the environment sets for our own calls.
    `fips`: a FIPS endpoint is requested. Raises BotoCoreError.

    The cluster would reject a VPC endpoint's host, and could not call a FIPS host that does not exist.
    """
    own = Config(
        ignore_configured_endpoint_urls=True,
        use_dualstack_endpoint=False,
        use_fips_endpoint=fips and session.get_config_variable("region") in fips_regions("sts"),
    )
    configured = session.get_config_variable(_REGIONAL)
    session.set_config_variable(_REGIONAL, "regional")
    try:
        client = session.create_client("sts", config=config.merge(own))
    finally:
        session.set_config_variable(_REGIONAL, configured)
    client.close()
    return str(urlsplit(client.meta.endpoint_url).hostname)


@functools.cache
def fips_regions(service: str) -> frozenset[str]:
    """Regions in which the service has a FIPS endpoint: botocore invents a name for every Region.

    It needs a loader of its own: botocore writes the invented names into the table of a loader that clients share.
    """
    return frozenset(
        region
        for partition in create_loader().load_data("endpoints")["partitions"]
        for region, endpoint in partition["services"].get(service, {}).get("endpoints", {}).items()
        if any("fips" in variant["tags"] for variant in endpoint.get("variants", ()))
    )


def sign(credentials: Any, *, host: str, region: str, cluster: str) -> Signed:
    """Sign with the current credentials, renewed if they are about to expire. Raises what their source raises."""
    if credentials is None:
        raise NoCredentialsError
    before = _ends(credentials)
    frozen = credentials.get_frozen_credentials()
    # Another thread may renew them now: the earlier expiry belongs to the frozen credentials or is on the safe side.
    ends = min((end for end in (before, _ends(credentials)) if end is not None), default=None)
    query = urlencode({"Action": "GetCallerIdentity", "Version": "2011-06-15"})
    request = AWSRequest("GET", f"https://{host}/?{query}", headers={CLUSTER_HEADER: cluster})
    SigV4QueryAuth(frozen, "sts", region, expires=_EXPIRES).add_auth(request)
    return Signed(str(request.url), None if ends is None else (ends - datetime.now(UTC)).total_seconds())


def _ends(credentials: Any) -> datetime | None:
    """The expiry, which botocore keeps private. None: never, or not fetched yet."""
    ends: datetime | None = getattr(credentials, "_expiry_time", None)
    return ends
