"""What AWS answers, and what the caller is told to do about it."""

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from policyhub.hub.errors import (
    FAULTS,
    AccessLost,
    HubError,
    Refused,
    Throttled,
    Unavailable,
    failure_kind,
    mismatch,
    translate,
)

ACCOUNT = "111122223333"
REGION = "eu-west-1"


def answer(code: str, status: int, operation: str = "BatchImportFindings") -> Exception:
    body = {"Error": {"Code": code, "Message": "said AWS"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    fault: Exception = boto.ClientError(body, operation)
    return fault


def told(fault: Exception, operation: str = "BatchImportFindings") -> HubError:
    return translate(fault, operation=operation, account=ACCOUNT, region=REGION)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("TooManyRequestsException", 429, Throttled),
        ("LimitExceededException", 429, Throttled),
        ("ThrottlingException", 400, Throttled),
        ("429", 429, Throttled),
        ("InternalException", 500, Unavailable),
        ("InternalFailure", 500, Unavailable),
        ("503", 503, Unavailable),
        ("RequestTimeout", 408, Unavailable),
        ("IDPCommunicationError", 400, Unavailable),
        ("SomethingNew", 400, Unavailable),
        ("InvalidInputException", 400, Refused),
        ("413", 413, Refused),
    ],
)
def test_code_is_translated(code: str, status: int, kind: type[HubError]) -> None:
    """A code that means neither configuration nor a bad request is retried, known or unknown."""
    error = told(answer(code, status))
    assert type(error) is kind
    assert error.code == code


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AccessDeniedException", 403, "AccessDenied"),
        ("403", 403, "AccessDenied"),
        ("InvalidAccessException", 401, "NotEnabled"),
        ("RegionDisabledException", 403, "NotEnabled"),
        ("ExpiredTokenException", 403, "CredentialsExpired"),
        ("UnrecognizedClientException", 403, "CredentialsRejected"),
        ("InvalidSignatureException", 403, "CredentialsRejected"),
        ("404", 404, "Misconfigured"),
        ("407", 407, "Misconfigured"),
    ],
)
def test_configuration_is_access_lost(code: str, status: int, kind: str) -> None:
    """What a person must cure is AccessLost, and its kind says what to look at."""
    error = told(answer(code, status))
    assert isinstance(error, AccessLost)
    assert error.kind == kind


@pytest.mark.parametrize(
    ("operation", "permission"),
    [
        ("BatchImportFindings", "securityhub:BatchImportFindings"),
        ("GetFindings", "securityhub:GetFindings"),
        ("AssumeRole", "sts:AssumeRole"),
        ("AssumeRoleWithWebIdentity", "sts:AssumeRoleWithWebIdentity"),
    ],
)
def test_denied_names_the_permission(operation: str, permission: str) -> None:
    """AccessDenied names account, Region, operation and the missing permission, also of a call within a call."""
    message = str(told(answer("AccessDenied", 403, operation), operation="GetFindings"))
    assert all(word in message for word in (ACCOUNT, REGION, operation, permission, "said AWS"))


def test_bad_role_is_configuration() -> None:
    """A role ARN that STS cannot read is configuration: halving the batch would not cure it."""
    error = told(answer("ValidationError", 400, "AssumeRole"))
    assert isinstance(error, AccessLost)
    assert error.kind == "Misconfigured"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (boto.EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), Unavailable),
        (boto.ConnectTimeoutError(endpoint_url="http://127.0.0.1:1"), Unavailable),
        (boto.ReadTimeoutError(endpoint_url="http://127.0.0.1:1"), Unavailable),
        (boto.ConnectionClosedError(endpoint_url="http://127.0.0.1:1"), Unavailable),
        (boto.SSLError(endpoint_url="https://127.0.0.1:1", error="certificate"), Unavailable),
        (boto.HTTPClientError(error="broken"), Unavailable),
        (ResponseParserError("not JSON"), Unavailable),
        (boto.ParamValidationError(report="no"), Refused),
        (ConnectionResetError(104, "reset"), Unavailable),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_transport_is_translated(fault: Exception, expected: type[HubError]) -> None:
    """Whatever breaks on the way has an unknown outcome."""
    assert isinstance(fault, FAULTS)
    assert type(told(fault)) is expected


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (boto.NoCredentialsError(), "CredentialsMissing"),
        (boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), "CredentialsMissing"),
        (boto.CredentialRetrievalError(provider="container-role", error_msg="refused"), "CredentialsMissing"),
        (boto.TokenRetrievalError(provider="sso", error_msg="expired"), "CredentialsMissing"),
        (boto.UnauthorizedSSOTokenError(), "CredentialsMissing"),
        (boto.ProfileNotFound(profile="prod"), "CredentialsMissing"),
        (FileNotFoundError(2, "No such file", "/var/run/secrets/token"), "CredentialsMissing"),
        (boto.NoRegionError(), "Misconfigured"),
        (boto.UnknownRegionError(region_name="mars-1", error_msg="unknown"), "Misconfigured"),
        (boto.EndpointResolutionError(msg="FIPS and custom endpoint"), "Misconfigured"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_local_configuration_is_access_lost(fault: Exception, kind: str) -> None:
    """Missing credentials and endpoints that cannot be built are configuration."""
    assert isinstance(fault, FAULTS)
    error = told(fault)
    assert isinstance(error, AccessLost)
    assert error.kind == kind


def test_long_answers_are_cut() -> None:
    """AWS's words about a hundred findings do not fill a condition."""
    fault = boto.ClientError({"Error": {"Code": "InvalidInputException", "Message": "x" * 100_000}}, "GetFindings")
    assert len(told(fault).message) < 1_200


def test_mismatch_names_both_accounts() -> None:
    """Credentials of another account are told with both accounts."""
    error = mismatch(caller="999900001111", account=ACCOUNT, region=REGION)
    assert error.kind == "AccountMismatch"
    assert "999900001111" in error.message
    assert ACCOUNT in error.message


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("InvalidInput", "permanent"),
        ("FindingSizeExceeded", "permanent"),
        ("InvalidAccess", "configuration"),
        ("AccessDeniedException", "configuration"),
        ("InternalFailure", "retry"),
        ("ConcurrentUpdateError", "retry"),
        ("Unknown", "retry"),
    ],
)
def test_finding_failures_have_three_kinds(code: str, kind: str) -> None:
    """Only what is known to be hopeless is permanent."""
    assert failure_kind(code) == kind
