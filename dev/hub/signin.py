"""The two ways in which a Pod gets a role: IRSA and EKS Pod Identity.

| sign-in      | request                                  | audience of the token    | condition               |
|--------------|------------------------------------------|--------------------------|-------------------------|
| IRSA         | STS AssumeRoleWithWebIdentity, unsigned  | `sts.amazonaws.com`      | the role's trust policy |
| Pod Identity | GET /v1/credentials, to the agent on the | `pods.eks.amazonaws.com` | the association and     |
|              | node                                     |                          | the role's trust policy |

Both tokens are service account tokens of a configured cluster. A role without policies trusts every service account of
these clusters. Error codes are those of STS and EKS Auth.
"""

from typing import Any

import msgspec

from dev.hub.bearer import BearerError, Claims, Keys, read
from dev.hub.identity import NO_TAGS, ROLE_ARN, Identity
from dev.hub.wire import AwsError

AUDIENCE = "sts.amazonaws.com"
POD_AUDIENCE = "pods.eks.amazonaws.com"
POD_SECONDS = 6 * 3600
"""Lifetime of a session of Pod Identity."""
_SUBJECT = "system:serviceaccount:"


class Cluster(msgspec.Struct, forbid_unknown_fields=True):
    """An EKS cluster: its tokens are accepted, and its issuer is an OIDC provider in its account's IAM."""

    arn: str
    jwks: Keys


class Association(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Pod Identity's role for a service account."""

    cluster: str
    """ARN."""
    namespace: str
    service_account: str
    role: str


class SignIn:
    """The clusters and associations, and the sign-ins with their tokens."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self.clusters: list[Cluster] = []
        self.associations: list[Association] = []

    def web_identity(self, form: dict[str, str], *, now: float) -> dict[str, Any]:
        """The AssumeRoleWithWebIdentity result."""
        arn, account, duration = self._identity.asked(form)
        _, claims = self._verified(form.get("WebIdentityToken", ""), "InvalidIdentityToken", now=now)
        issuer = claims.iss.removeprefix("https://").removesuffix("/")
        policies = self._identity.policies.get(arn)
        for audience in claims.audiences:
            match = ROLE_ARN.match(arn)
            provider = f"arn:{match[1] if match else 'aws'}:iam::{account}:oidc-provider/{issuer}"
            context = {f"{issuer}:aud": audience, f"{issuer}:sub": claims.sub}
            trusted = policies is None or policies.trust.trusts(
                "sts:AssumeRoleWithWebIdentity", ("Federated", provider), context
            )
            if audience == AUDIENCE and trusted:
                session = self._identity.open(arn, form["RoleSessionName"], tags=NO_TAGS, seconds=duration, now=now)
                return session | {
                    "SubjectFromWebIdentityToken": claims.sub,
                    "Audience": audience,
                    "Provider": provider,
                }
        raise AwsError("AccessDenied", 403, "Not authorized to perform sts:AssumeRoleWithWebIdentity")

    def pod_identity(self, token: str, *, now: float) -> dict[str, str]:
        """The agent's answer."""
        cluster, claims = self._verified(token, "InvalidTokenException", now=now)
        if POD_AUDIENCE not in claims.audiences:
            raise AwsError("InvalidTokenException", 400, f"The token is not for the audience {POD_AUDIENCE}")
        namespace, _, name = claims.sub.removeprefix(_SUBJECT).partition(":")
        role = next(
            (
                a.role
                for a in self.associations
                if (a.cluster, a.namespace, a.service_account) == (cluster.arn, namespace, name)
            ),
            None,
        )
        if role is None:
            message = f"No association found for service account {namespace}/{name} in cluster {cluster.arn}"
            raise AwsError("ResourceNotFoundException", 404, message)
        tags = {
            "eks-cluster-arn": cluster.arn,
            "eks-cluster-name": cluster.arn.rpartition("/")[2],
            "kubernetes-namespace": namespace,
            "kubernetes-service-account": name,
        }
        context = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
        policies = self._identity.policies.get(role)
        for action in ("sts:AssumeRole", "sts:TagSession"):
            if policies is not None and not policies.trust.trusts(action, ("Service", POD_AUDIENCE), context):
                message = (
                    f"Unauthorized Exception! EKS does not have permissions to assume the associated role: {action}"
                )
                raise AwsError("AccessDeniedException", 403, message)
        session = self._identity.open(role, f"eks-{tags['eks-cluster-name']}", tags=tags, seconds=POD_SECONDS, now=now)
        given = session["Credentials"]
        return {
            "AccessKeyId": given["AccessKeyId"],
            "SecretAccessKey": given["SecretAccessKey"],
            "Token": given["SessionToken"],
            "AccountId": role.split(":")[4],
            "Expiration": given["Expiration"],
        }

    def _verified(self, token: str, code: str, *, now: float) -> tuple[Cluster, Claims]:
        why = "no OIDC provider is known"
        for cluster in self.clusters:
            try:
                claims = read(token, cluster.jwks)
            except BearerError as error:
                why = str(error)
                continue
            if claims.exp <= now:
                raise AwsError("ExpiredTokenException", 400, "Token expired: the current time is after its expiration")
            return cluster, claims
        raise AwsError(code, 400, f"The token cannot be verified: {why}")
