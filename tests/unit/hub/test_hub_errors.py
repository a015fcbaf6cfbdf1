"""AWS's errors, and what the caller should do about them."""

import socket
import ssl
from typing import Any

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from policyhub.api.reason import Reason
from policyhub.securityhub.errors import (
    CALL_ERRORS,
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


def translated(fault: Exception, operation: str = "BatchImportFindings") -> HubError:
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
    error = translated(answer(code, status))
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
    """A problem that a person must fix is AccessLost, with a kind that says where to look."""
    error = translated(answer(code, status))
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
    """AccessDenied has account, Region, operation and the missing permission, also for a nested call."""
    message = str(translated(answer("AccessDenied", 403, operation), operation="GetFindings"))
    assert all(word in message for word in (ACCOUNT, REGION, operation, permission, "said AWS"))


def test_bad_role_is_configuration() -> None:
    """A role ARN that STS rejects is configuration: halving the batch would not help."""
    error = translated(answer("ValidationError", 400, "AssumeRole"))
    assert isinstance(error, AccessLost)
    assert error.kind == Reason.MISCONFIGURED


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
    """After any transport error the outcome is unknown."""
    assert isinstance(fault, CALL_ERRORS)
    assert type(translated(fault)) is expected


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
    """Missing credentials and invalid endpoints are configuration."""
    assert isinstance(fault, CALL_ERRORS)
    error = translated(fault)
    assert isinstance(error, AccessLost)
    assert error.kind == kind


def test_long_answers_are_cut() -> None:
    """AWS's message about a hundred findings does not fill a condition."""
    fault = boto.ClientError({"Error": {"Code": "InvalidInputException", "Message": "x" * 100_000}}, "GetFindings")
    assert len(translated(fault).message) < 1_200


def test_mismatch_names_both_accounts() -> None:
    """Credentials of another account are reported with both accounts."""
    error = mismatch(caller="999900001111", account=ACCOUNT, region=REGION)
    assert error.kind == Reason.ACCOUNT_MISMATCH
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
    """Only a known hopeless failure is permanent."""
    assert failure_kind(code) == kind


# -- what to do -------------------------------------------------------------------------------------------------------

STS = "https://sts.eu-west-1.amazonaws.com/"
HUB = "https://securityhub.eu-west-1.amazonaws.com/findings/import"
AGENT = "http://169.254.170.23/v1/credentials"
WAY = ("route", "VPC endpoint", "security group", "NetworkPolicy", "proxy")


def agent(inner: Exception) -> Any:
    """Botocore's wrapping of an error of the Pod Identity agent."""
    metadata = boto.MetadataRetrievalError(error_msg=str(inner))
    metadata.__context__ = inner
    fault = boto.CredentialRetrievalError(provider="container-role", error_msg=str(metadata))
    fault.__context__ = metadata
    return fault


def client_error(code: str, status: int, operation: str, message: str) -> Any:
    body = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return boto.ClientError(body, operation)


ADVICE: dict[str, tuple[Exception, str, tuple[str, ...]]] = {
    "Security Hub: refused": (
        boto.EndpointConnectionError(endpoint_url=HUB, error=ConnectionRefusedError(111, "refused")),
        "Unavailable",
        ("securityhub.eu-west-1.amazonaws.com:443: the connection was refused", "endpoints of securityhub)", *WAY),
    ),
    "Security Hub: DNS": (
        boto.EndpointConnectionError(endpoint_url=HUB, error=socket.gaierror(-2, "unknown")),
        "Unavailable",
        ("securityhub.eu-west-1.amazonaws.com:443: the name has no address (DNS)", "CoreDNS", *WAY),
    ),
    "STS: time-out": (
        boto.ConnectTimeoutError(endpoint_url=STS),
        "Unavailable",
        ("sts.eu-west-1.amazonaws.com:443: no answer in time", "endpoints of sts)", *WAY),
    ),
    "STS: TLS": (
        boto.SSLError(endpoint_url=STS, error=ssl.SSLError(1, "certificate verify failed")),
        "Unavailable",
        ("sts.eu-west-1.amazonaws.com:443: TLS failed", "AWS_CA_BUNDLE", *WAY),
    ),
    "proxy": (
        boto.ProxyConnectionError(proxy_url="http://10.0.0.5:3128", error=ConnectionRefusedError(111, "refused")),
        "Unavailable",
        ("the proxy cannot be reached", "10.0.0.5:3128", *WAY),
    ),
    "AWS fails": (answer("InternalFailure", 500), "Unavailable", ("AWS Health Dashboard",)),
    "no credentials": (
        boto.NoCredentialsError(),
        "CredentialsMissing",
        ("eks.amazonaws.com/role-arn", "Pod Identity", "kubectl rollout restart -n policyhub deployment/policyhub"),
    ),
    "half of the keys": (
        boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
        "CredentialsMissing",
        ("Set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",),
    ),
    "a profile that is not there": (boto.ProfileNotFound(profile="x"), "CredentialsMissing", ("AWS_PROFILE",)),
    "SSO": (boto.UnauthorizedSSOTokenError(), "CredentialsMissing", ("aws sso login",)),
    "a token file that is not there": (
        FileNotFoundError(2, "No such file", "/var/run/secrets/eks.amazonaws.com/token"),
        "CredentialsMissing",
        ("/var/run/secrets/eks.amazonaws.com/token", "kubectl rollout restart"),
    ),
    "Pod Identity: no agent": (
        agent(boto.ConnectTimeoutError(endpoint_url=AGENT)),
        "CredentialsMissing",
        ("169.254.170.23:80: no answer in time", "eks-pod-identity-agent"),
    ),
    "Pod Identity: no association": (
        agent(ValueError("Received non 200 response 404 from container metadata: No association found")),
        "CredentialsMissing",
        ("No association found", "list-pod-identity-associations"),
    ),
    "IRSA: the role does not trust": (
        client_error("AccessDenied", 403, "AssumeRoleWithWebIdentity", "Not authorized"),
        "AccessDenied",
        ("trust policy must allow sts:AssumeRoleWithWebIdentity", "service account", "--oidc-issuer=URL"),
    ),
    "IRSA: no OIDC provider": (
        client_error("InvalidIdentityToken", 400, "AssumeRoleWithWebIdentity", "No OpenIDConnect provider found"),
        "CredentialsRejected",
        ("associate-iam-oidc-provider",),
    ),
    "IRSA: the token has expired": (
        client_error("ExpiredTokenException", 400, "AssumeRoleWithWebIdentity", "Token expired"),
        "CredentialsExpired",
        ("node's clock", "restart"),
    ),
    "AssumeRole: denied": (
        client_error("AccessDenied", 403, "AssumeRole", "not authorized to perform: sts:AssumeRole"),
        "AccessDenied",
        ("Both sides must allow it", "external id", "--assume-role=ARN"),
    ),
    "AssumeRole: no ARN": (
        client_error("ValidationError", 400, "AssumeRole", "invalid ARN"),
        "Misconfigured",
        ("securityHub.roleArn",),
    ),
    "a session that has ended": (
        client_error("ExpiredTokenException", 403, "GetFindings", "expired"),
        "CredentialsExpired",
        ("signs in again by itself",),
    ),
    "the clock: a signature that has expired": (
        client_error(
            "InvalidSignatureException", 403, "GetFindings", "Signature expired: 20260101T000000Z is now earlier than"
        ),
        "CredentialsRejected",
        ("clock of the operator's node",),
    ),
    "the clock: skewed": (
        client_error("RequestTimeTooSkewed", 403, "GetFindings", "The difference is too large"),
        "CredentialsRejected",
        ("clock of the operator's node",),
    ),
    "keys of another partition": (
        client_error("UnrecognizedClientException", 403, "GetFindings", "The security token is invalid"),
        "CredentialsRejected",
        ("partition",),
    ),
    "no permission": (
        client_error("AccessDeniedException", 403, "GetFindings", "not authorized"),
        "AccessDenied",
        ("IAM permission securityhub:GetFindings", ACCOUNT, "service control policy", "policyhub iam-policy"),
    ),
    "a proxy says no": (
        client_error("403", 403, "GetFindings", "Forbidden"),
        "AccessDenied",
        ("not an answer of AWS",),
    ),
    "a proxy wants a password": (
        client_error("407", 407, "GetFindings", "no"),
        "Misconfigured",
        ("not an answer of AWS",),
    ),
    "not subscribed": (
        client_error("InvalidAccessException", 401, "GetFindings", "Account is not subscribed to AWS Security Hub"),
        "NotEnabled",
        ("aws securityhub enable-security-hub --region eu-west-1",),
    ),
    "STS is off in the Region": (
        client_error("RegionDisabledException", 403, "AssumeRole", "STS is not activated"),
        "NotEnabled",
        ("activate it",),
    ),
}


@pytest.mark.parametrize(("fault", "kind", "texts"), ADVICE.values(), ids=ADVICE.keys())
def test_errors_say_what_happened_and_what_to_do(fault: Exception, kind: str, texts: tuple[str, ...]) -> None:
    """Each error of a sign-in or a call has the called service, the result, and the next step."""
    error = translated(fault, operation="GetFindings")
    assert (error.kind if isinstance(error, AccessLost) else type(error).__name__) == kind
    assert all(word in error.message for word in texts), error.message
    assert ACCOUNT in error.found
    assert error.advice[:1].isupper()
    assert error.message == f"{error.found}. {error.advice}"


def test_the_advice_is_never_cut() -> None:
    """However long AWS's or a proxy's message is."""
    error = translated(client_error("AccessDenied", 403, "AssumeRole", "x" * 100_000))
    assert error.message.endswith(error.advice)
