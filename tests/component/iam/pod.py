"""What EKS gives to the operator's Pod, and the roles that `policyhub iam-policy` prints for it."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from dev.hub import bearer
from dev.hub.process import HubProcess
from policyhub.iam.policy import Plan, Role, Workload
from policyhub.securityhub.client import HubClient

ACCOUNT = "111122223333"
OTHER = "444455556666"
REGION = "eu-west-1"
CLUSTER = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/prod-eu"
ISSUER = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"
TARGET = f"arn:aws:iam::{OTHER}:role/policyhub"
EXTERNAL_ID = "tell-nobody"
AUDIENCES = {"irsa": "sts.amazonaws.com", "pod-identity": "pods.eks.amazonaws.com"}

Connect = Callable[..., HubClient]


def roles(sign_in: str, **elsewhere: Any) -> tuple[Role, ...]:
    """The operator's role in ACCOUNT and the role that it assumes in OTHER, for one way to sign in; `elsewhere` are the
    plan's settings for other accounts, instead of Security Hub in OTHER.
    """
    workload = Workload(
        namespace="policyhub",
        service_account="policyhub",
        clusters=(CLUSTER,) if sign_in == "pod-identity" else (),
        issuers=(ISSUER,) if sign_in == "irsa" else (),
    )
    return Plan(
        partition="aws",
        account=ACCOUNT,
        regions=(REGION,),
        role_name="policyhub",
        workload=workload,
        external_id=EXTERNAL_ID,
        **(elsewhere or {"finding_roles": (TARGET,)}),
    ).roles()


def printed(*given: Role) -> list[dict[str, Any]]:
    """The roles as the command prints them."""
    return [{"role": role.arn, "trust": role.trust, "permissions": role.permissions} for role in given]


class Pod:
    """What EKS gives to the operator's Pod: a token file that is replaced before the token expires."""

    def __init__(self, sign_in: str, file: Path, key: ec.EllipticCurvePrivateKey) -> None:
        self.sign_in = sign_in
        self.file = file
        self.key = key

    def token(self, *, seconds: float = 3600, **claims: object) -> None:
        """Write a token of the operator's service account, with other `claims` if given."""
        subject = "system:serviceaccount:policyhub:policyhub"
        right = {"iss": f"https://{ISSUER}", "sub": subject, "aud": [AUDIENCES[self.sign_in]]}
        self.file.write_text(bearer.issue(self.key, **{**right, "exp": int(time.time() + seconds), **claims}))

    def environment(self, hub: HubProcess) -> dict[str, str]:
        if self.sign_in == "irsa":
            return hub.irsa(role=roles("irsa")[0].arn, token=self.file)
        return hub.pod_identity(token=self.file)


def called(hub: HubProcess, since: int = 0) -> list[tuple[str, str, str]]:
    """(Operation, account, code) of each call."""
    return [(call["operation"], call["account"], call["error"]) for call in hub.calls(since)]


def without(document: Mapping[str, Any], action: str) -> dict[str, Any]:
    """The policy without this action."""
    statements = []
    for statement in document["Statement"]:
        left = [name for name in statement["Action"] if name != action]
        if left:
            statements.append({**statement, "Action": left})
    return {**document, "Statement": statements}
