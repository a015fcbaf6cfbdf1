"""What to do about an AWS error, in one place for conditions, logs and the doctor.

| failure                                  | advice                                                                    |
|------------------------------------------|---------------------------------------------------------------------------|
| the network does not reach AWS           | `unreachable`: route, VPC endpoint, security group, NetworkPolicy, proxy  |
| the Pod has no source of credentials     | `missing`: by what was tried (IRSA, Pod Identity, a profile, keys)        |
| STS refuses the sign-in of Pod or role   | `signing_in`: trust policy, OIDC provider, external id                    |
| IAM refuses a signed call                | `denied`: the action, or the policies that override it                    |

Pure: no I/O, no clock.
"""

from botocore import exceptions as boto

from policyhub import network
from policyhub.api.reason import Reason

_RESTART = "kubectl rollout restart -n policyhub deployment/policyhub"
_WAY = (
    "Check the way from the operator's Pod to it: the route (a NAT gateway, or VPC endpoints of {services}), the VPC"
    " endpoint's security group (port 443 from the nodes), the NetworkPolicy (chart: networkPolicy), and the proxy"
    " (HTTPS_PROXY, NO_PROXY)"
)
_FIRST: dict[network.Stage, str] = {
    "dns": "Check the Pod's DNS (CoreDNS), the Region, and the private DNS of the VPC endpoint. ",
    "tls": "If a proxy or firewall opens TLS, mount its CA and name the file in AWS_CA_BUNDLE (chart: extraVolumes,"
    " extraEnv). ",
}
CLOCK = (
    "The clock of the operator's node is wrong by more than 5 minutes, or the request was held up: synchronize it"
    " (chrony with Amazon Time Sync)"
)
ACCOUNT = (
    "Security Hub takes findings only from identities of their own account: set securityHub.roleArn (chart) or"
    " spec.securityHub.roleArn to a role of account {account}"
)
ENABLE = (
    "Enable Security Hub CSPM in this account and Region: aws securityhub enable-security-hub --region {region}"
    " --no-enable-default-standards"
)
REGION = (
    "STS is switched off for this Region in the account: activate it (IAM console, Account settings, or aws account"
    " enable-region for an opt-in Region)"
)
EXPIRED = (
    "The operator signs in again by itself; if it lasts, check the node's clock, and replace keys that were given with"
    " an AWS_SESSION_TOKEN (chart: extraEnv)"
)
REJECTED = (
    "AWS does not know these credentials in this Region: check where they come from (chart: extraEnv), the partition,"
    " and whether the account has the Region enabled"
)
ENDPOINT = (
    "Check the Region, AWS_ENDPOINT_URL… and AWS_USE_FIPS_ENDPOINT in the operator's environment (chart: extraEnv):"
    " no Security Hub or STS is there"
)
PROXY = "This is not an answer of AWS: check the proxy (HTTPS_PROXY, NO_PROXY, its sign-in) and AWS_ENDPOINT_URL…"
AWS_SIDE = "Wait: the operator tries again. If it lasts, look at the AWS Health Dashboard of this Region"

_AGENT = (
    "The EKS Pod Identity agent on the node does not answer: check that the add-on eks-pod-identity-agent runs on this"
    " node (kubectl get pods -n kube-system -o wide; EKS Auto Mode has it built in), and that the NetworkPolicy and"
    " NO_PROXY let the Pod reach its address"
)
_ASSOCIATION = (
    "EKS Pod Identity gives this service account no role: check its association (aws eks list-pod-identity-associations"
    " --cluster-name CLUSTER) and the role's trust policy (pods.eks.amazonaws.com with sts:AssumeRole and"
    " sts:TagSession); policyhub iam-policy --cluster=ARN prints it"
)
_NOTHING = (
    "Nothing gives the operator's Pod credentials. IRSA: annotate its service account with eks.amazonaws.com/role-arn"
    " (chart: serviceAccount.annotations). Pod Identity: create an association for the service account. Then restart"
    f" the Pod, which gets either only as it starts: {_RESTART}"
)
_FILE = (
    "The Pod's sign-in needs this file. For IRSA and Pod Identity EKS mounts it as the Pod starts: restart it"
    f" ({_RESTART}); else correct the variable that names it (chart: extraEnv)"
)
_PROFILE = (
    "Correct AWS_PROFILE, AWS_CONFIG_FILE and the files that they name in the operator's environment (chart: extraEnv)"
)
_PARTIAL = "Set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (chart: extraEnv), or neither"
_LOGIN = "Sign in again (aws sso login, aws login); for a Pod use IRSA or Pod Identity"
_SOURCE = "Check where the operator's credentials come from (chart: serviceAccount.annotations, extraEnv)"

_WEB_TRUST = (
    "The role that the service account is annotated with does not trust it: its trust policy must allow"
    " sts:AssumeRoleWithWebIdentity to this cluster's OIDC provider, for this very namespace and service account;"
    " policyhub iam-policy --oidc-issuer=URL prints it"
)
_WEB_TOKEN = (
    "The service account's token in the Pod has expired, though the kubelet renews it: check the node's clock, then"
    f" restart the Pod: {_RESTART}"
)
_WEB_PROVIDER = (
    "AWS does not know this cluster's tokens: create the IAM OIDC provider for the cluster's issuer in the role's"
    " account (eksctl utils associate-iam-oidc-provider --cluster CLUSTER --approve), with the audience"
    " sts.amazonaws.com"
)
_ROLE_TRUST = (
    "Both sides must allow it: the operator's role needs sts:AssumeRole (with Pod Identity also sts:TagSession) on that"
    " role, and that role's trust policy must name the operator's role and the external id (securityHub.externalId);"
    " policyhub iam-policy --assume-role=ARN prints both"
)
_ROLE_FORM = "Check securityHub.roleArn and securityHub.externalId: STS cannot read them"
_CLOCK_ERRORS = ("signature expired", "signature not yet current", "is now earlier than")
"""Parts of AWS's messages if the clocks differ; the codes also occur for other mistakes."""


def unreachable(error: BaseException) -> str:
    """For a network error."""
    stage = network.stage(error)
    first = _FIRST.get(stage, "") if stage is not None else ""
    service = network.address(network.url(error)).partition(".")[0].removesuffix("-fips")
    return first + _WAY.format(services=service if service in {"sts", "securityhub", "eks"} else "sts and securityhub")


def missing(error: BaseException) -> str:
    """For missing credentials."""
    match error:
        case boto.CredentialRetrievalError() if error.kwargs.get("provider") == "container-role":
            return _ASSOCIATION if network.stage(error) is None else _AGENT
        case boto.NoCredentialsError():
            return _NOTHING
        case boto.PartialCredentialsError():
            return _PARTIAL
        case boto.ProfileNotFound() | boto.ConfigNotFound() | boto.ConfigParseError() | boto.InvalidConfigError():
            return _PROFILE
        case boto.SSOError() | boto.LoginError() | boto.TokenRetrievalError() | boto.NoAuthTokenError():
            return _LOGIN
        case OSError():
            return _FILE
        case _:
            return _SOURCE


def signing_in(operation: str, kind: Reason) -> str:
    """For an STS refusal when the Pod or a role signs in; empty for other calls."""
    if operation == "AssumeRoleWithWebIdentity":
        return _OF_THE_POD.get(kind, "")
    return _OF_A_ROLE.get(kind, "") if operation.startswith("AssumeRole") else ""


_OF_THE_POD = {
    Reason.ACCESS_DENIED: _WEB_TRUST,
    Reason.CREDENTIALS_EXPIRED: _WEB_TOKEN,
    Reason.CREDENTIALS_REJECTED: _WEB_PROVIDER,
}
_OF_A_ROLE = {Reason.ACCESS_DENIED: _ROLE_TRUST, Reason.MISCONFIGURED: _ROLE_FORM}


def denied(action: str, account: str) -> str:
    """For a call that IAM refuses."""
    return (
        f"The operator's role needs the IAM permission {action}, and must be a role of account {account}: policyhub"
        " iam-policy prints the whole policy. If it is granted, a service control policy, a permissions boundary or the"
        " VPC endpoint's policy refuses it"
    )


def is_clock(code: str, text: str) -> bool:
    """Whether AWS refuses a signature because of its time."""
    return code in {"RequestTimeTooSkewed", "RequestExpired"} or any(
        phrase in text.casefold() for phrase in _CLOCK_ERRORS
    )
