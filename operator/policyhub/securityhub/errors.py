"""The errors of a call to Security Hub, named for what the caller does about them.

    HubError                `code` is AWS's or botocore's error code; the message names account, Region and operation
    ├── Throttled           too many calls: slow down, send the same again
    ├── Unavailable         5xx, connection, time-out, unknown codes: outcome unknown, sending the same again is safe
    ├── NotLeader           not sent: another replica or operator may be the leader before the call ends
    ├── AccessLost          configuration: an admin must act. `kind` can be a condition's reason
    └── Refused             the call is invalid as a whole (InvalidInput): the same call will be refused again

A finding that failed in a successful call is not an exception but a `Failure`, with one of these kinds:

    permanent               this content will never be accepted (InvalidInput, too large): report it, wait for a change
    configuration           the hub does not accept our findings (InvalidAccess): as AccessLost
    unsent                  not sent, or not accepted: a later call of the same import was throttled or not permitted
    retry                   everything else; it may have been written

AWS publishes no list of codes for calls or findings. A code that is not in the tables below is retried: that is never
wrong for long, while treating an unknown code as permanent could lose a finding. Pure: no I/O, no clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from policyhub import network
from policyhub.api.reason import Cause, Reason, Trait
from policyhub.model.text import line
from policyhub.redaction import redacted
from policyhub.securityhub import advice

AccessKind = Literal[
    Reason.ACCESS_DENIED,
    Reason.ACCOUNT_MISMATCH,
    Reason.CREDENTIALS_EXPIRED,
    Reason.CREDENTIALS_MISSING,
    Reason.CREDENTIALS_REJECTED,
    Reason.MISCONFIGURED,
    Reason.NOT_ENABLED,
]
CREDENTIALS = frozenset(reason for reason in Reason if Trait.CREDENTIALS in reason.traits)
"""The kinds that new credentials from the same source may fix."""

_MAX_MESSAGE = 1_500
"""Characters: `_MESSAGE_LIMIT` of AWS's message, and our text around it; the advice comes on top."""

FailureKind = Literal["permanent", "configuration", "unsent", "retry"]


class HubError(Exception):
    """Code and message are on one line, cut, and contain no credential (`policyhub.redaction`)."""

    reason: Reason
    """Of the condition HubReachable, if the error persists."""

    def __init__(self, message: str, *, code: str, advice: str = "") -> None:
        """`advice` says what to do (`policyhub.securityhub.advice`); empty if the caller adds it."""
        self.found = line(redacted(message), _MAX_MESSAGE)
        self.advice = advice
        self.message = f"{self.found}. {_sentence(advice)}" if advice else self.found
        self.code = line(code, 64)
        super().__init__(self.message)

    @property
    def cause(self) -> Cause:
        """For a condition."""
        return Cause(self.reason, self.found, self.advice)


class Throttled(HubError):
    reason = Reason.THROTTLED


class Unavailable(HubError):
    reason = Reason.UNAVAILABLE


class NotLeader(HubError):
    reason = Reason.NOT_LEADER

    def __init__(self) -> None:
        super().__init__("not sent: another replica or operator may be at work by now", code="NotLeader")


class AccessLost(HubError):
    def __init__(self, kind: AccessKind, message: str, *, code: str, advice: str = "") -> None:
        super().__init__(message, code=code, advice=advice)
        self.kind = kind
        self.reason = kind


class Refused(HubError):
    reason = Reason.REFUSED


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one finding was not imported."""

    code: str
    message: str
    kind: FailureKind
    advice: str = ""
    """What to do, if known."""


CALL_ERRORS: tuple[type[Exception], ...] = (
    boto.ClientError,
    boto.BotoCoreError,
    ResponseParserError,
    OSError,
    RuntimeError,
)
"""What a botocore call raises for reasons outside this program. OSError: a web identity token file cannot be read.
RuntimeError: botocore has no error type for credentials that by our clock have expired as soon as they are fetched.
"""
_OVER_AT_ONCE = "refreshed credentials are still expired"

_THROTTLED = frozenset(
    {
        "LimitExceededException",  # the modelled 429 of every Security Hub operation
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",  # not modelled, but Security Hub returns it
    }
)
_REFUSED = frozenset(
    {
        "InvalidInput",
        "InvalidInputException",
        "RequestEntityTooLarge",
        "RequestTooLarge",
        "SerializationException",
        "ValidationError",
        "ValidationException",
    }
)
_LOST: dict[str, AccessKind] = {
    # AWS returns AccessDenied for another account, another Region, and a wrong partition in the product ARN.
    "AccessDenied": Reason.ACCESS_DENIED,
    "AccessDeniedException": Reason.ACCESS_DENIED,
    "AuthorizationError": Reason.ACCESS_DENIED,
    "NotAuthorized": Reason.ACCESS_DENIED,
    "UnauthorizedException": Reason.ACCESS_DENIED,
    "InvalidAccess": Reason.NOT_ENABLED,
    "InvalidAccessException": Reason.NOT_ENABLED,
    "OptInRequired": Reason.NOT_ENABLED,
    "RegionDisabledException": Reason.NOT_ENABLED,  # STS: the Region is not activated in this account
    "SubscriptionRequiredException": Reason.NOT_ENABLED,
    "ExpiredToken": Reason.CREDENTIALS_EXPIRED,
    "ExpiredTokenException": Reason.CREDENTIALS_EXPIRED,
    "RequestExpired": Reason.CREDENTIALS_EXPIRED,
    "AuthFailure": Reason.CREDENTIALS_REJECTED,
    "IDPRejectedClaim": Reason.CREDENTIALS_REJECTED,
    "IncompleteSignature": Reason.CREDENTIALS_REJECTED,
    "IncompleteSignatureException": Reason.CREDENTIALS_REJECTED,
    "InvalidClientTokenId": Reason.CREDENTIALS_REJECTED,
    "InvalidIdentityToken": Reason.CREDENTIALS_REJECTED,
    "InvalidSignatureException": Reason.CREDENTIALS_REJECTED,
    "MissingAuthenticationToken": Reason.CREDENTIALS_REJECTED,
    "MissingAuthenticationTokenException": Reason.CREDENTIALS_REJECTED,
    "RequestTimeTooSkewed": Reason.CREDENTIALS_REJECTED,
    "SignatureDoesNotMatch": Reason.CREDENTIALS_REJECTED,
    "UnrecognizedClientException": Reason.CREDENTIALS_REJECTED,
    "UnknownOperationException": Reason.MISCONFIGURED,  # the endpoint is not Security Hub
}
_CREDENTIALS_MISSING = (
    boto.ConfigNotFound,
    boto.ConfigParseError,
    boto.CredentialRetrievalError,
    boto.InvalidConfigError,
    boto.LoginError,
    boto.MetadataRetrievalError,
    boto.NoAuthTokenError,
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.ProfileNotFound,
    boto.SSOError,
    boto.TokenRetrievalError,
    boto.UnknownCredentialError,
)
_MISCONFIGURED = (
    boto.BaseEndpointResolverError,
    boto.DataNotFoundError,
    boto.EndpointProviderError,
    boto.InvalidEndpointConfigurationError,
    boto.InvalidProxiesConfigError,
    boto.InvalidRegionError,
    boto.UnknownRegionError,
)
_MESSAGE_LIMIT = 1_000
"""Characters of AWS's message that are kept, on one line: it goes into a condition and into logs."""
_CODE_LIMIT = 64


def is_throttle(code: str) -> bool:
    return code in _THROTTLED or code == "429"


def is_refusal(code: str) -> bool:
    return code in _REFUSED or code == "413"


def access_kind(code: str) -> AccessKind | None:
    """The kind of a code that means wrong configuration, None for any other code."""
    return _LOST.get(code)


def failure_kind(code: str) -> FailureKind:
    """The kind of an ErrorCode in FailedFindings."""
    if code in {"InvalidInput", "InvalidInputException", "FindingSizeExceeded"}:
        return "permanent"
    return "configuration" if access_kind(code) in {Reason.NOT_ENABLED, Reason.ACCESS_DENIED} else "retry"


def permission(operation: str) -> str:
    """The IAM action that an operation needs."""
    if operation in {"DescribeCluster", "ListClusters"}:
        return f"eks:{operation}"
    service = "sts" if operation.startswith("AssumeRole") or operation == "GetCallerIdentity" else "securityhub"
    return f"{service}:{operation}"


def translate(error: Exception, *, operation: str, account: str, region: str, secrets: Iterable[str] = ()) -> HubError:
    """The HubError for one of FAULTS. A failed AssumeRole inside the call is reported as AssumeRole.

    `secrets` are credentials that the text may contain: those of proxies, and those that were sent to AWS. A
    RuntimeError that is not botocore's is raised again: it is a bug in this program.
    """
    known = frozenset(secrets)
    if isinstance(error, boto.ClientError):
        return _answered(error, operation=operation, account=account, region=region, secrets=known)
    code = type(error).__name__
    text = _clean(network.explain(error, network.url(error)) or str(error), known)
    message = f"{operation} in account {account}, {region}: {code}: {text}"
    if isinstance(error, RuntimeError):
        if _OVER_AT_ONCE not in str(error):
            raise error
        return AccessLost(Reason.CREDENTIALS_EXPIRED, message, code="CredentialsExpired", advice=advice.CLOCK)
    if isinstance(error, _CREDENTIALS_MISSING) or (isinstance(error, OSError) and error.filename):
        return AccessLost(Reason.CREDENTIALS_MISSING, message, code=code, advice=advice.missing(error))
    if isinstance(error, _MISCONFIGURED):
        return AccessLost(Reason.MISCONFIGURED, message, code=code, advice=advice.ENDPOINT)
    if isinstance(error, boto.ParamValidationError):
        return Refused(message, code=code)
    return Unavailable(message, code=code, advice=advice.unreachable(error))


def failed(code: object, message: object) -> Failure:
    """From an entry of FailedFindings."""
    code_text = line(str(code or "Unknown"), _CODE_LIMIT)
    return Failure(code_text, line(str(message or ""), _MESSAGE_LIMIT), failure_kind(code_text))


def advise(failure: Failure, *, account: str, region: str) -> Failure:
    """A finding's failure of kind `configuration`, with the account, the Region and the remedy."""
    kind = access_kind(failure.code) or Reason.ACCESS_DENIED
    if kind == Reason.NOT_ENABLED:
        hint = advice.ENABLE.format(region=region)
    else:
        hint = advice.denied(permission("BatchImportFindings"), account)
    message = f"BatchImportFindings in account {account}, {region}: {failure.code}: {failure.message}"
    return Failure(failure.code, message, failure.kind, advice=hint)


def mismatch(*, caller: str, account: str, region: str) -> AccessLost:
    """The credentials are valid, but belong to another account than the findings."""
    message = f"the credentials belong to account {caller}, not to {account} (Region {region})"
    hint = advice.ACCOUNT.format(account=account)
    return AccessLost(Reason.ACCOUNT_MISMATCH, message, code="AccountMismatch", advice=hint)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _clean(text: str, secrets: frozenset[str]) -> str:
    return line(redacted(text, secrets), _MESSAGE_LIMIT)


def _answered(
    error: boto.ClientError, *, operation: str, account: str, region: str, secrets: frozenset[str]
) -> HubError:
    answer = error.response.get("Error", {})
    code = line(redacted(str(answer.get("Code") or "Unknown"), secrets), _CODE_LIMIT)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    failed_operation = str(getattr(error, "operation_name", "") or operation)
    text = _clean(str(answer.get("Message") or ""), secrets) or "no message"
    message = f"{failed_operation} in account {account}, {region}: {code}: {text}"
    if is_throttle(code) or status == 429:
        return Throttled(message, code=code)
    if is_refusal(code) or status == 413:
        if failed_operation.startswith("AssumeRole"):  # an invalid role ARN: halving the call does not help
            hint = advice.signing_in("AssumeRole", Reason.MISCONFIGURED)
            return AccessLost(Reason.MISCONFIGURED, message, code=code, advice=hint)
        return Refused(message, code=code)
    kind = access_kind(code)
    if kind is not None:
        hint = _advice(kind, code, text, failed_operation=failed_operation, account=account, region=region)
        return AccessLost(kind, message, code=code, advice=hint)
    if (by_status := _kind_by_status(status)) is not None:
        hint = advice.ENDPOINT if status in {404, 405} else advice.PROXY
        return AccessLost(by_status, message, code=code, advice=hint)
    return Unavailable(message, code=code, advice=advice.AWS_SIDE)


def _advice(kind: AccessKind, code: str, text: str, *, failed_operation: str, account: str, region: str) -> str:
    """What to do about AWS's error. `failed_operation` may be an STS call inside the operation that was called."""
    if kind in CREDENTIALS and advice.is_clock(code, text):
        return advice.CLOCK
    if hint := advice.signing_in(failed_operation, kind):
        return hint
    match kind:
        case Reason.ACCESS_DENIED:
            return advice.denied(permission(failed_operation), account)
        case Reason.CREDENTIALS_EXPIRED:
            return advice.EXPIRED
        case Reason.NOT_ENABLED:
            return advice.REGION if code == "RegionDisabledException" else advice.ENABLE.format(region=region)
        case Reason.MISCONFIGURED:
            return advice.ENDPOINT
        case _:
            return advice.REJECTED


def _kind_by_status(status: int) -> AccessKind | None:
    """For answers without a known code, such as those of a proxy."""
    if status in {401, 403}:
        return Reason.ACCESS_DENIED
    return Reason.MISCONFIGURED if status in {404, 405, 407} else None
