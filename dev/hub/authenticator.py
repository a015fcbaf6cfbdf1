"""Checks tokens as the authenticator of an EKS cluster does: the rules of aws-iam-authenticator and of STS.

| rule                                                                                           | whose         |
|------------------------------------------------------------------------------------------------|---------------|
| at most 4,096 bytes; `k8s-aws-v1.` and base64url without padding                               | authenticator |
| https, an STS host of the cluster's partition (regional, dual-stack, FIPS where it exists; the | authenticator |
| global one in `aws` alone), path `/`                                                           |               |
| no query key but the nine of a presigned call, none twice; Action GetCallerIdentity            | authenticator |
| X-Amz-Expires is an integer from 0 to 900, and is otherwise ignored                            | authenticator |
| x-k8s-aws-id is signed; signed no longer than 15 minutes ago                                   | authenticator |
| the signature is right for the cluster's own name, the scope's Region is the host's            | STS           |
| not signed in the future, by more than 5 minutes                                               | STS           |

The rules are kubernetes-sigs/aws-iam-authenticator@6586a42, pkg/token/token.go; EKS's own are not public. The signature
is computed here, without the operator's code or botocore. Pure: no I/O, no clock.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec

PREFIX = "k8s-aws-v1."
CLUSTER_HEADER = "x-k8s-aws-id"
MOST_BYTES = 4_096
GOOD_SECONDS = 15 * 60
EARLY_SECONDS = 5 * 60
_KEYS = frozenset(
    {
        *("action", "version", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires"),
        *("x-amz-security-token", "x-amz-signature", "x-amz-signedheaders"),
    }
)
_PARTITIONS: Mapping[str, tuple[str, str]] = {
    "aws": (r"(?:us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-\d", "amazonaws.com"),
    "aws-cn": (r"cn-[a-z]+-\d", "amazonaws.com.cn"),
    "aws-us-gov": (r"us-gov-[a-z]+-\d", "amazonaws.com"),
    "aws-iso": (r"us-iso-[a-z]+-\d", "c2s.ic.gov"),
    "aws-iso-b": (r"us-isob-[a-z]+-\d", "sc2s.sgov.gov"),
    "aws-iso-e": (r"eu-isoe-[a-z]+-\d", "cloud.adc-e.uk"),
    "aws-iso-f": (r"us-isof-[a-z]+-\d", "csp.hci.ic.gov"),
    "aws-eusc": (r"eusc-de-[a-z]+-\d", "amazonaws.eu"),
}
_FIPS = frozenset({"us-east-1", "us-east-2", "us-west-1", "us-west-2"})
"""Regions with a separate STS host for FIPS; GovCloud has only one host."""
_ALGORITHM = "AWS4-HMAC-SHA256"


class TokenError(Exception):
    """The authenticator rejects the token; the message is the reason."""


class Presigned(msgspec.Struct, frozen=True):
    """A parsed token; the signature is not checked yet."""

    key: str
    session: str
    """The session token; empty for a long-term key."""
    region: str
    text: str
    """The string to sign, with the name of the cluster that checks it."""
    scope: tuple[str, str]
    """Day and Region."""
    signature: str

    def is_signed_with(self, secret: str) -> bool:
        key = f"AWS4{secret}".encode()
        for part in (*self.scope, "sts", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.compare_digest(hmac.digest(key, self.text.encode(), "sha256").hex(), self.signature)


def read(token: str, *, cluster: str, partition: str, now: float) -> Presigned:
    """`cluster` is the id that the authenticator was started with. Raises TokenError."""
    if len(token) > MOST_BYTES:
        raise TokenError("token is too large")
    if not token.startswith(PREFIX):
        raise TokenError(f"token is missing expected {PREFIX!r} prefix")
    encoded = token.removeprefix(PREFIX)
    try:
        if "=" in encoded:
            raise TokenError("the token is padded")
        url = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).decode()
        parts = urlsplit(url)
    except (binascii.Error, ValueError) as error:
        raise TokenError(f"the token is not base64url of a URL: {error}") from None
    if parts.scheme != "https":
        raise TokenError(f'unexpected scheme "{parts.scheme}" in pre-signed URL')
    region = _region(parts.netloc, partition)
    if parts.path != "/":
        raise TokenError("unexpected path in pre-signed URL")
    pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
    given = _query(pairs)
    scope = given["x-amz-credential"].split("/")
    if len(scope) != 5 or scope[3:] != ["sts", "aws4_request"]:
        raise TokenError("Credential should be scoped to correct service")
    if region and scope[2] != region:
        raise TokenError(f"Credential should be scoped to a valid Region, not {scope[2]}")
    _check_date(given["x-amz-date"], now=now)
    headers = {"host": parts.netloc, CLUSTER_HEADER: cluster}
    signed = given["x-amz-signedheaders"].split(";")
    if not set(signed) <= headers.keys():
        raise TokenError(f"headers were signed that nobody sends: {sorted(set(signed) - headers.keys())}")
    return Presigned(
        key=scope[0],
        session=given.get("x-amz-security-token", ""),
        region=scope[2],
        text=_signed_text(pairs, given, {name: headers[name] for name in sorted(signed)}),
        scope=(scope[1], scope[2]),
        signature=given["x-amz-signature"],
    )


def _region(host: str, partition: str) -> str:
    """Of an STS host; empty for the global one. Raises TokenError for other hosts."""
    if host == "sts.amazonaws.com" and partition == "aws":
        return ""
    pattern, suffix = _PARTITIONS[partition]
    match = re.fullmatch(rf"sts(-fips)?\.({pattern})\.({re.escape(suffix)}|api\.aws)", host)
    if match is None or (match[1] and match[2] not in _FIPS):
        raise TokenError(f'unexpected hostname "{host}" in pre-signed URL')
    return match[2]


def _query(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The query with lower-case keys. Raises TokenError."""
    given: dict[str, str] = {}
    for name, value in pairs:
        if name.lower() not in _KEYS:
            raise TokenError(f'non-whitelisted query parameter "{name}"')
        if name.lower() in given:
            raise TokenError(f'duplicate query parameter found: "{name}"')
        given[name.lower()] = value
    if given.get("action") != "GetCallerIdentity":
        raise TokenError("unexpected action parameter in pre-signed URL")
    if CLUSTER_HEADER not in given.get("x-amz-signedheaders", "").split(";"):
        raise TokenError(f"client did not sign the {CLUSTER_HEADER} header in the pre-signed URL")
    if not re.fullmatch(r"\d{1,3}", given.get("x-amz-expires", "")) or int(given["x-amz-expires"]) > 900:
        raise TokenError("invalid X-Amz-Expires parameter in pre-signed URL")
    for name in ("x-amz-credential", "x-amz-date", "x-amz-signature"):
        if name not in given:
            raise TokenError(f"{name} must be present in pre-signed URL")
    return given


def _check_date(text: str, *, now: float) -> None:
    try:
        signed_at = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise TokenError(f"error parsing X-Amz-Date parameter {text}") from None
    if now > signed_at + GOOD_SECONDS:
        raise TokenError(f"X-Amz-Date parameter is expired (15 minute expiration) {text}")
    if signed_at > now + EARLY_SECONDS:
        raise TokenError(f"Signature not yet current: {text}")


def _signed_text(pairs: list[tuple[str, str]], given: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """The string to sign of AWS Signature Version 4, of a GET without a body."""
    coded = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in pairs if k != "X-Amz-Signature")
    request = "\n".join(
        [
            "GET",
            "/",
            "&".join(f"{name}={value}" for name, value in coded),
            *(f"{name}:{value}" for name, value in headers.items()),
            "",
            ";".join(headers),
            hashlib.sha256(b"").hexdigest(),
        ]
    )
    day, region = given["x-amz-credential"].split("/")[1:3]
    scope = f"{day}/{region}/sts/aws4_request"
    return "\n".join([_ALGORITHM, given["x-amz-date"], scope, hashlib.sha256(request.encode()).hexdigest()])
