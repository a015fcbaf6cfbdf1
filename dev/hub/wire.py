"""The AWS wire protocol that boto3 uses: the credential scope, error answers, the XML of the query protocol.

The signature is not verified; account, Region and service come from the credential scope that the client signed. Pure:
no I/O, no clock.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.sax.saxutils import escape

import msgspec

_CREDENTIAL = re.compile(
    r"^AWS4-HMAC-SHA256 Credential=(?P<key>[A-Za-z0-9]{16,128}|[A-Za-z0-9_-]{1,128})/(?P<date>\d{8})/"
    r"(?P<region>[a-z0-9-]+)/(?P<service>[a-z0-9-]+)/aws4_request\s*,"
)
_STAMP = "%Y%m%dT%H%M%SZ"
_SKEW = timedelta(minutes=5)
_STS = "https://sts.amazonaws.com/doc/2011-06-15/"


class AwsError(Exception):
    """A rejected call: the error code that boto3 raises, its HTTP status and message."""

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message


def invalid_input(message: str) -> AwsError:
    return AwsError("InvalidInputException", 400, message)


class Scope(msgspec.Struct, frozen=True):
    """Access key, Region and service of a call, from the Authorization header."""

    key: str
    region: str
    service: str


def parse_scope(authorization: str | None) -> Scope:
    if not authorization:
        raise AwsError("MissingAuthenticationTokenException", 403, "Missing Authentication Token")
    match = _CREDENTIAL.match(authorization)
    if match is None:
        raise AwsError(
            "IncompleteSignatureException", 400, "Authorization header requires a SigV4 'Credential' parameter."
        )
    return Scope(match["key"], match["region"], match["service"])


def unsigned(authorization: str | None, body: bytes) -> bool:
    """Whether this is AssumeRoleWithWebIdentity, which is never signed."""
    return authorization is None and b"Action=AssumeRoleWithWebIdentity" in body


def untimely(date: str, *, now: float) -> str:
    """AWS's error for a signature that is too old or too new; empty if it is neither, or has no date."""
    if not date:
        return ""
    signed, here = datetime.strptime(date, _STAMP).replace(tzinfo=UTC), datetime.fromtimestamp(now, UTC)
    if signed < here - _SKEW:
        return f"Signature expired: {date} is now earlier than {here.strftime(_STAMP)} - 5 min."
    if signed > here + _SKEW:
        return f"Signature not yet current: {date} is still later than {here.strftime(_STAMP)} + 5 min."
    return ""


def partition(region: str) -> str:
    """The partition of a Region's ARNs."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def json_error(error: AwsError) -> bytes:
    return msgspec.json.encode({"Message": error.message, "Code": error.code})


def xml_error(error: AwsError, request: str) -> bytes:
    kind = "Sender" if error.status < 500 else "Receiver"
    return (
        f'<ErrorResponse xmlns="{_STS}"><Error><Type>{kind}</Type><Code>{escape(error.code)}</Code>'
        f"<Message>{escape(error.message)}</Message></Error><RequestId>{request}</RequestId></ErrorResponse>"
    ).encode()


def xml_answer(operation: str, result: dict[str, Any], request: str) -> bytes:
    body = _elements(result)
    return (
        f'<{operation}Response xmlns="{_STS}"><{operation}Result>{body}</{operation}Result>'
        f"<ResponseMetadata><RequestId>{request}</RequestId></ResponseMetadata></{operation}Response>"
    ).encode()


def _elements(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"<{name}>{_elements(item)}</{name}>" for name, item in value.items())
    return escape(str(value))
