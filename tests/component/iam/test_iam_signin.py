"""Both ways in which a Pod signs in, with the operator's own client and unmodified boto3, over real sockets."""

import asyncio
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from dev.hub.process import HubProcess
from dev.hub.sample import finding
from policyhub.api.reason import Reason
from policyhub.securityhub.errors import AccessKind, AccessLost, Unavailable
from tests.component.iam.pod import (
    ACCOUNT,
    CLUSTER,
    EXTERNAL_ID,
    OTHER,
    TARGET,
    Connect,
    Pod,
    called,
    printed,
    roles,
    without,
)

OPERATIONS = {"irsa": "AssumeRoleWithWebIdentity", "pod-identity": "AssumeRoleForPodIdentity"}
ANYTHING: dict[str, Any] = {}


def signed_in(hub: HubProcess, pod: Pod, since: int = 0) -> int:
    """How often."""
    return [operation for operation, _, code in called(hub, since) if not code].count(OPERATIONS[pod.sign_in])


async def test_the_pod_signs_in_and_works(connect: Connect, pod: Pod, hub: HubProcess) -> None:
    """With only what EKS gives to the Pod, the client belongs to the role's account, imports and reads."""
    client = connect()
    assert await client.caller_account() == ACCOUNT
    await client.verify_account()
    result = await client.import_findings([finding(name) for name in "abc"])
    assert len(result.accepted) == 3
    assert len((await client.get_findings(ANYTHING)).findings) == 3
    assert signed_in(hub, pod) == 1


async def test_credentials_are_renewed_with_the_current_token(connect: Connect, pod: Pod, hub: HubProcess) -> None:
    """Sessions of one minute are replaced at each call: none fails, and the token file is read again each time."""
    hub.session_lifetime(60)
    client = connect()
    await client.caller_account()
    first = signed_in(hub, pod)
    pod.token(seconds=7200)
    await client.caller_account()
    assert signed_in(hub, pod) > first


async def test_a_failed_renewal_of_valid_credentials(connect: Connect, pod: Pod, hub: HubProcess) -> None:
    """Credentials are renewed 15 minutes early: a token that is rejected then makes no call fail."""
    hub.session_lifetime(700)
    client = connect()
    await client.caller_account()
    pod.token(seconds=-1)
    await client.caller_account()
    assert "ExpiredTokenException" in {code for _, _, code in called(hub)}


async def test_credentials_that_end_early(connect: Connect, pod: Pod, hub: HubProcess) -> None:
    """If AWS ends a session before its time, one call fails with that error; the next one works."""
    client = connect()
    await client.caller_account()
    hub.expire_sessions()
    with pytest.raises(AccessLost, match="signs in again by itself") as lost:
        await client.get_findings(ANYTHING)
    assert lost.value.kind == Reason.CREDENTIALS_EXPIRED
    await client.get_findings(ANYTHING)
    assert signed_in(hub, pod) == 2


@pytest.mark.parametrize(
    ("claims", "kinds", "reported"),
    [
        (
            {"sub": "system:serviceaccount:other:policyhub"},
            ("AccessDenied", "CredentialsMissing"),
            (
                "Not authorized to perform sts:AssumeRoleWithWebIdentity",
                "No association found for service account other/",
            ),
        ),
        (
            {"aud": ["https://kubernetes.default.svc"]},
            ("AccessDenied", "CredentialsMissing"),
            ("Not authorized to perform sts:AssumeRoleWithWebIdentity", "not for the audience pods.eks.amazonaws.com"),
        ),
        ({"exp": 1}, ("CredentialsExpired", "CredentialsMissing"), ("Token expired", "Token expired")),
    ],
    ids=["another service account", "another audience", "expired"],
)
async def test_an_untrusted_token_is_explained(
    connect: Connect, pod: Pod, claims: dict[str, Any], kinds: tuple[AccessKind, AccessKind], reported: tuple[str, str]
) -> None:
    """Each message has AWS's error and the kind of remedy; with the right token the same client then works."""
    which = list(OPERATIONS).index(pod.sign_in)
    client = connect()
    pod.token(**claims)
    with pytest.raises(AccessLost) as lost:
        await client.get_findings(ANYTHING)
    assert lost.value.kind == kinds[which]
    assert reported[which] in lost.value.message
    pod.token()
    await client.get_findings(ANYTHING)


async def test_tokens_of_another_cluster_are_rejected(connect: Connect, pod: Pod) -> None:
    """A token with the right claims that another cluster has signed is invalid."""
    pod.key = ec.generate_private_key(ec.SECP256R1())
    pod.token()
    with pytest.raises(AccessLost, match="cannot be verified") as lost:
        await connect().caller_account()
    assert lost.value.kind == ("CredentialsRejected" if pod.sign_in == "irsa" else "CredentialsMissing")


async def test_a_missing_token_is_reported(connect: Connect, pod: Pod) -> None:
    """The message names the missing file; when it appears, the same client works."""
    pod.file.unlink()
    client = connect()
    with pytest.raises((AccessLost, Unavailable), match=str(pod.file)):
        await client.caller_account()
    pod.token()
    assert await client.caller_account() == ACCOUNT


@pytest.mark.parametrize("sign_in", ["pod-identity"])
async def test_irsa_precedes_pod_identity(
    connect: Connect, pod: Pod, hub: HubProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Pod with both signs in by IRSA."""
    irsa = Pod("irsa", pod.file.with_name("irsa"), pod.key)
    irsa.token()
    hub.policies(printed(*roles("irsa")))
    for name, value in irsa.environment(hub).items():
        monkeypatch.setenv(name, value)
    await connect().caller_account()
    assert (signed_in(hub, irsa), signed_in(hub, pod)) == (1, 0)


@pytest.mark.parametrize("sign_in", ["pod-identity"])
async def test_a_missing_agent_is_reported(connect: Connect, pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no agent runs on the node, the message has the unreachable address."""
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/v1/credentials")
    with pytest.raises(AccessLost, match=r"127\.0\.0\.1:9") as lost:
        await connect().caller_account()
    assert lost.value.kind == Reason.CREDENTIALS_MISSING


@pytest.mark.parametrize("sign_in", ["irsa"])
async def test_an_unanswered_sign_in_times_out(connect: Connect, pod: Pod, hub: HubProcess) -> None:
    """STS has the timeout of any other call: the thread is free again, and the next call works."""
    hub.fault("timeout_before", operation="AssumeRoleWithWebIdentity", count=1, delay_seconds=120)
    client = connect(read_timeout=0.3)
    async with asyncio.timeout(30):
        with pytest.raises(Unavailable):
            await client.get_findings(ANYTHING)
    await client.get_findings(ANYTHING)


# -- another account --------------------------------------------------------------------------------------------------


async def test_findings_of_another_account_by_its_role(connect: Connect, pod: Pod, hub: HubProcess) -> None:
    """From either sign-in the client assumes the other account's role, with the external id, and imports there."""
    client = connect(account=OTHER, role_arn=TARGET, external_id=EXTERNAL_ID)
    await client.verify_account()
    result = await client.import_findings([finding(account=OTHER)])
    assert len(result.accepted) == 1
    assert ("AssumeRole", ACCOUNT, "") in called(hub)


async def test_another_accounts_role_requires_the_external_id(connect: Connect, pod: Pod) -> None:
    """Without it, or with a wrong one, the role cannot be assumed, and the message names it."""
    for options in ({}, {"external_id": "guessed"}):
        with pytest.raises(AccessLost, match="sts:AssumeRole on resource: " + TARGET) as lost:
            await connect(account=OTHER, role_arn=TARGET, **options).caller_account()
        assert lost.value.kind == Reason.ACCESS_DENIED


@pytest.mark.parametrize("sign_in", ["pod-identity"])
@pytest.mark.parametrize("side", ["own", "other"])
async def test_tags_of_pod_identity_need_tag_session_on_both_sides(
    connect: Connect, pod: Pod, hub: HubProcess, side: str
) -> None:
    """The session has tags: the own role's permissions and the other role's trust must both allow TagSession."""
    own, other = printed(*roles("pod-identity"))
    if side == "own":
        own["permissions"] = without(own["permissions"], "sts:TagSession")
    else:
        other["trust"] = without(other["trust"], "sts:TagSession")
    hub.policies([own, other])
    with pytest.raises(AccessLost, match="sts:TagSession"):
        await connect(account=OTHER, role_arn=TARGET, external_id=EXTERNAL_ID).caller_account()


# -- the policies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["securityhub:BatchImportFindings", "securityhub:GetFindings", "sts:AssumeRole"])
async def test_each_permission_is_needed(connect: Connect, pod: Pod, hub: HubProcess, action: str) -> None:
    """Without an action of the printed policy its call is denied with that permission's name; others are not."""
    own, other = printed(*roles(pod.sign_in))
    own["permissions"] = without(own["permissions"], action)
    hub.policies([own, other])
    calls = {
        "securityhub:BatchImportFindings": lambda: connect().import_findings([finding()]),
        "securityhub:GetFindings": lambda: connect().get_findings(ANYTHING),
        "sts:AssumeRole": connect(account=OTHER, role_arn=TARGET, external_id=EXTERNAL_ID).caller_account,
    }
    for needed, call in calls.items():
        if needed == action:
            with pytest.raises(AccessLost, match=action):
                await call()
        else:
            await call()


async def test_imports_for_another_account_are_refused(connect: Connect, pod: Pod) -> None:
    """The condition on the target account applies even to a finding under the own product."""
    foreign = {**finding(), "AwsAccountId": OTHER}
    with pytest.raises(AccessLost) as lost:
        await connect().import_findings([foreign])
    assert lost.value.kind == Reason.ACCESS_DENIED


@pytest.mark.parametrize("sign_in", ["pod-identity"])
async def test_another_cluster_cannot_use_the_role(connect: Connect, pod: Pod, hub: HubProcess) -> None:
    """An association in a cluster that the trust policy does not name has no effect."""
    own, other = printed(*roles("pod-identity"))
    tags = own["trust"]["Statement"][0]["Condition"]["StringEquals"]
    tags["aws:RequestTag/eks-cluster-arn"] = [CLUSTER + "-2"]
    hub.policies([own, other])
    with pytest.raises(AccessLost, match="sts:AssumeRole"):
        await connect().caller_account()
