"""Both ways in which a Pod signs in, by the operator's own client and unmodified boto3, over real sockets."""

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
    """With nothing but what EKS gives to the Pod, the client is the role's account, imports and reads."""
    client = connect()
    assert await client.caller_account() == ACCOUNT
    await client.verify_account()
    result = await client.import_findings([finding(name) for name in "abc"])
    assert len(result.accepted) == 3
    assert len((await client.get_findings(ANYTHING)).findings) == 3
    assert signed_in(hub, pod) == 1


async def test_credentials_are_renewed_before_they_end_with_the_token_that_is_then_in_the_file(
    connect: Connect, pod: Pod, hub: HubProcess
) -> None:
    """Sessions that last a minute are replaced at each call: none fails, and the token file is read anew each time."""
    hub.session_lifetime(60)
    client = connect()
    await client.caller_account()
    first = signed_in(hub, pod)
    pod.token(seconds=7200)
    await client.caller_account()
    assert signed_in(hub, pod) > first


async def test_a_renewal_that_fails_while_the_credentials_are_good_is_forgiven(
    connect: Connect, pod: Pod, hub: HubProcess
) -> None:
    """Credentials are renewed a quarter of an hour early: a token that is refused then costs no call."""
    hub.session_lifetime(700)
    client = connect()
    await client.caller_account()
    pod.token(seconds=-1)
    await client.caller_account()
    assert "ExpiredTokenException" in {code for _, _, code in called(hub)}


async def test_after_credentials_that_ended_early_the_next_call_signs_in_anew(
    connect: Connect, pod: Pod, hub: HubProcess
) -> None:
    """Where AWS ends a session before its time, one call fails and says so; the next one works."""
    client = connect()
    await client.caller_account()
    hub.expire_sessions()
    with pytest.raises(AccessLost, match="signs in again by itself") as lost:
        await client.get_findings(ANYTHING)
    assert lost.value.kind == Reason.CREDENTIALS_EXPIRED
    await client.get_findings(ANYTHING)
    assert signed_in(hub, pod) == 2


@pytest.mark.parametrize(
    ("claims", "kinds", "said"),
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
async def test_a_token_that_is_not_trusted_is_refused_in_words(
    connect: Connect, pod: Pod, claims: dict[str, Any], kinds: tuple[AccessKind, AccessKind], said: tuple[str, str]
) -> None:
    """Each refusal names what AWS said and the kind of remedy; with the right token the same client then works."""
    which = list(OPERATIONS).index(pod.sign_in)
    client = connect()
    pod.token(**claims)
    with pytest.raises(AccessLost) as lost:
        await client.get_findings(ANYTHING)
    assert lost.value.kind == kinds[which]
    assert said[which] in lost.value.message
    pod.token()
    await client.get_findings(ANYTHING)


async def test_tokens_of_another_cluster_are_not_believed(connect: Connect, pod: Pod) -> None:
    """A token that says the right things and is signed by another cluster is worth nothing."""
    pod.key = ec.generate_private_key(ec.SECP256R1())
    pod.token()
    with pytest.raises(AccessLost, match="cannot be verified") as lost:
        await connect().caller_account()
    assert lost.value.kind == ("CredentialsRejected" if pod.sign_in == "irsa" else "CredentialsMissing")


async def test_a_missing_token_is_told(connect: Connect, pod: Pod) -> None:
    """Where the token's file is not there, the message names it; once it is, the same client works."""
    pod.file.unlink()
    client = connect()
    with pytest.raises((AccessLost, Unavailable), match=str(pod.file)):
        await client.caller_account()
    pod.token()
    assert await client.caller_account() == ACCOUNT


@pytest.mark.parametrize("sign_in", ["pod-identity"])
async def test_irsa_wins_over_pod_identity(
    connect: Connect, pod: Pod, hub: HubProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Pod that has both signs in by IRSA."""
    irsa = Pod("irsa", pod.file.with_name("irsa"), pod.key)
    irsa.token()
    hub.policies(printed(*roles("irsa")))
    for name, value in irsa.environment(hub).items():
        monkeypatch.setenv(name, value)
    await connect().caller_account()
    assert (signed_in(hub, irsa), signed_in(hub, pod)) == (1, 0)


@pytest.mark.parametrize("sign_in", ["pod-identity"])
async def test_an_agent_that_does_not_answer_is_told(
    connect: Connect, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no agent runs on the node, the message says what could not be reached."""
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/v1/credentials")
    with pytest.raises(AccessLost, match=r"127\.0\.0\.1:9") as lost:
        await connect().caller_account()
    assert lost.value.kind == Reason.CREDENTIALS_MISSING


@pytest.mark.parametrize("sign_in", ["irsa"])
async def test_a_sign_in_that_nobody_answers_ends_like_any_call(connect: Connect, pod: Pod, hub: HubProcess) -> None:
    """STS's silence is waited for no longer than another call's: the thread is free again, and the next call works."""
    hub.fault("timeout_before", operation="AssumeRoleWithWebIdentity", count=1, delay_seconds=120)
    client = connect(read_timeout=0.3)
    async with asyncio.timeout(30):
        with pytest.raises(Unavailable):
            await client.get_findings(ANYTHING)
    await client.get_findings(ANYTHING)


# -- another account --------------------------------------------------------------------------------------------------


async def test_findings_of_another_account_by_its_role(connect: Connect, pod: Pod, hub: HubProcess) -> None:
    """From either sign-in the client goes on to the other account's role, with the external id, and imports there."""
    client = connect(account=OTHER, role_arn=TARGET, external_id=EXTERNAL_ID)
    await client.verify_account()
    result = await client.import_findings([finding(account=OTHER)])
    assert len(result.accepted) == 1
    assert ("AssumeRole", ACCOUNT, "") in called(hub)


async def test_another_accounts_role_wants_the_external_id(connect: Connect, pod: Pod) -> None:
    """Without the external id, or with a wrong one, the role is not given, and the message names it."""
    for options in ({}, {"external_id": "guessed"}):
        with pytest.raises(AccessLost, match="sts:AssumeRole on resource: " + TARGET) as lost:
            await connect(account=OTHER, role_arn=TARGET, **options).caller_account()
        assert lost.value.kind == Reason.ACCESS_DENIED


@pytest.mark.parametrize("sign_in", ["pod-identity"])
@pytest.mark.parametrize("side", ["own", "other"])
async def test_tags_of_pod_identity_need_tag_session_on_both_sides(
    connect: Connect, pod: Pod, hub: HubProcess, side: str
) -> None:
    """The session's tags go along: the own role's permissions and the other role's trust must both allow it."""
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
    """Without one action of the printed policy its call is refused, by the name of that permission; others are not."""
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
    """The condition on the target account holds even for a finding under the own product."""
    foreign = {**finding(), "AwsAccountId": OTHER}
    with pytest.raises(AccessLost) as lost:
        await connect().import_findings([foreign])
    assert lost.value.kind == Reason.ACCESS_DENIED


@pytest.mark.parametrize("sign_in", ["pod-identity"])
async def test_another_cluster_may_not_have_the_role(connect: Connect, pod: Pod, hub: HubProcess) -> None:
    """An association in a cluster that the trust policy does not name is of no use."""
    own, other = printed(*roles("pod-identity"))
    tags = own["trust"]["Statement"][0]["Condition"]["StringEquals"]
    tags["aws:RequestTag/eks-cluster-arn"] = [CLUSTER + "-2"]
    hub.policies([own, other])
    with pytest.raises(AccessLost, match="sts:AssumeRole"):
        await connect().caller_account()
