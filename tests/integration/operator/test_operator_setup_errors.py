"""The conditions of a MonitoredCluster when the setup is wrong: what happened, what it means, and the next step."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dev import testbed
from tests.integration.operator.conftest import OTHER_ACCOUNT
from tests.integration.operator.world import SECONDS, World

CLOSED = "127.0.0.1:9"
"""No server listens there."""
WAY = ("route", "VPC endpoint", "security group", "NetworkPolicy", "proxy")
NO_KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": ""}
ROLE = f"arn:aws:iam::{OTHER_ACCOUNT}:role/policyhub"


def events(world: World, name: str) -> dict[str, str]:
    """The reasons and types of the Events on a MonitoredCluster."""
    uid = world.monitored(name)["metadata"]["uid"]
    found = world.cluster.request("GET", "/api/v1/namespaces/default/events")["items"]
    return {event["reason"]: event["type"] for event in found if event["involvedObject"].get("uid") == uid}


def reference(name: str, key: str = "kubeconfig") -> dict[str, Any]:
    return {"kubeconfigSecretRef": {"namespace": testbed.NAMESPACE, "name": name, "key": key}}


def kubeconfig(server: str) -> bytes:
    return json.dumps(
        {
            "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "clusters": [{"name": "x", "cluster": {"server": server}}],
            "users": [{"name": "x", "user": {"token": "t"}}],
        }
    ).encode()


def test_a_wrong_kubeconfig_secret(world: World) -> None:
    """Missing, forbidden, without the key, empty, rejected, and with a wrong address: each has its own next step. The
    missing one works as soon as the command in its message has been run.
    """
    world.monitor("missing", connection=reference("beta"))
    world.monitor("forbidden", connection=reference("gamma"))
    world.start()
    create = "kubectl -n policyhub create secret generic beta --from-file=kubeconfig=FILE"
    missing = world.await_condition("Connected", "False", reason="KubeconfigInvalid", name="missing")["message"]
    assert missing.startswith("Secret policyhub/beta does not exist. Until this is fixed")
    assert "its findings stay as they are" in missing
    assert missing.endswith(f"Create it with the key kubeconfig, from a kubeconfig of the cluster in FILE: {create}")
    forbidden = world.await_condition("Connected", "False", reason="KubeconfigInvalid", name="forbidden")["message"]
    assert "may not read Secret policyhub/gamma" in forbidden
    assert "{namespace: policyhub, name: gamma} to the chart's kubeconfigSecrets" in forbidden
    contents = {"nothing": b"", "broken": b"a: [", "nowhere": kubeconfig(f"https://{CLOSED}")}
    data = {key: base64.b64encode(content).decode() for key, content in contents.items()}
    metadata = {"name": "beta", "namespace": testbed.NAMESPACE}
    world.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
    for key in (*contents, "kubeconfigs"):
        world.monitor(key, connection=reference("beta", key))
    for key, reported in (
        ("nothing", "it is empty"),
        ("broken", "not valid YAML"),
        ("kubeconfigs", "its keys: broken, nothing, nowhere"),
    ):
        output = world.await_condition("Connected", "False", reason="KubeconfigInvalid", name=key)["message"]
        assert reported in output
        assert f'kubectl -n policyhub patch secret beta -p \'{{"data":{{"{key}":' in output
    nowhere = world.await_condition("Connected", "False", reason="Unreachable", name="nowhere")["message"]
    assert nowhere.startswith(f"{CLOSED}: the connection was refused. Until this is fixed")
    assert all(word in nowhere for word in WAY)
    world.until(lambda: events(world, "nowhere").get("Unreachable") == "Warning", "an Event of the trouble")


def unreachable_hub(_: World, __: Path) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL": f"http://{CLOSED}"}


def unreachable_sts(world: World, folder: Path) -> dict[str, str]:
    """IRSA with an STS that does not answer; Security Hub would."""
    token = folder / "token"
    token.write_text("e30.e30.e30")
    sign_in = {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)}
    hub = world.hub.env()["AWS_ENDPOINT_URL"]
    return {**NO_KEYS, **sign_in, "AWS_ENDPOINT_URL_SECURITYHUB": hub, "AWS_ENDPOINT_URL_STS": f"http://{CLOSED}"}


def no_agent(_: World, folder: Path) -> dict[str, str]:
    """Pod Identity whose agent does not run on the node."""
    token = folder / "token"
    token.write_text("e30.e30.e30")
    return {
        **NO_KEYS,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{CLOSED}/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
    }


def no_token(_: World, folder: Path) -> dict[str, str]:
    return {**NO_KEYS, "AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": str(folder / "none")}


@pytest.mark.parametrize(
    ("environment", "reason", "message"),
    [
        pytest.param(unreachable_hub, "Unavailable", (f"{CLOSED}: the connection was refused", *WAY), id="no route"),
        pytest.param(
            unreachable_sts,
            "Unavailable",
            ("GetCallerIdentity in account", f"{CLOSED}: the connection was refused", *WAY),
            id="STS is out of reach",
        ),
        pytest.param(
            lambda *_: NO_KEYS,
            "CredentialsMissing",
            ("eks.amazonaws.com/role-arn", "association", "kubectl rollout restart"),
            id="no credentials",
        ),
        pytest.param(
            no_agent,
            "CredentialsMissing",
            (f"{CLOSED}: the connection was refused", "eks-pod-identity-agent"),
            id="no Pod Identity agent",
        ),
        pytest.param(no_token, "CredentialsMissing", ("No such file", "restart it"), id="no token in the Pod"),
    ],
)
def test_aws_is_unreachable_or_rejects_the_sign_in(
    world: World,
    tmp_path: Path,
    environment: Callable[[World, Path], dict[str, Any]],
    reason: str,
    message: tuple[str, ...],
) -> None:
    """HubReachable distinguishes a network without a way to AWS from a Pod without credentials; the log has the same
    message, and a Warning Event is created. A deliberate setting creates none.
    """
    world.monitor(enrichment=False)
    world.start(**environment(world, tmp_path))
    output = world.await_condition("HubReachable", "False", reason=reason)["message"]
    assert all(word in output for word in message), output
    assert "nothing is lost" in output
    logged = [line["message"] for line in world.operator.log() if line.get("event") == "hub_access"]
    assert logged
    assert all(word in logged[-1] for word in message), logged
    expected = {reason: "Warning", "RollUpOff": "Normal", "EnrichmentOff": "Normal"}
    world.until(lambda: expected.items() <= events(world, "alpha").items(), f"the Events {expected}")


def test_refusals_of_aws(world: World) -> None:
    """A role that cannot be assumed, a wrong account, a disabled Security Hub: the next step of each."""
    world.hub.roles({f"arn:aws:iam::{OTHER_ACCOUNT}:role/another": ""})
    try:
        hub = {"accountId": OTHER_ACCOUNT, "region": testbed.REGION}
        world.monitor("role", securityHub={**hub, "roleArn": ROLE})
        world.monitor("account", securityHub=hub)
        world.hub.enable(on=False)
        world.monitor()
        world.start()
        role = world.await_condition("HubReachable", "False", reason="AccessDenied", name="role")["message"]
        assert "Both sides must allow it" in role
        assert "policyhub iam-policy --assume-role=ARN" in role
        account = world.await_condition("HubReachable", "False", reason="AccountMismatch", name="account")["message"]
        assert f"belong to account {testbed.ACCOUNT}, not to {OTHER_ACCOUNT}" in account
        assert f"spec.securityHub.roleArn to a role of account {OTHER_ACCOUNT}" in account
        off = world.await_condition("HubReachable", "False", reason="NotEnabled")["message"]
        assert f"aws securityhub enable-security-hub --region {testbed.REGION}" in off
    finally:
        world.hub.roles({})
        world.hub.enable(on=True)


@pytest.mark.parametrize(
    ("environment", "reason", "found", "remedy"),
    [
        pytest.param(
            {"POLICYHUB_REGION": "xx-nowhere-1"},
            "UnknownRegion",
            "the operator's settings name the Region xx-nowhere-1",
            "Correct POLICYHUB_REGION",
            id="an invalid Region",
        ),
        pytest.param(
            {"AWS_PROFILE": "nobody"},
            "AwsConfiguration",
            "The config profile (nobody) could not be found",
            "the operator's environment (chart: extraEnv)",
            id="a profile that is not there",
        ),
    ],
)
def test_unusable_settings(world: World, environment: dict[str, Any], reason: str, found: str, remedy: str) -> None:
    """Only Ready can report them: with their effect, the correction, and a Warning; the operator keeps running."""
    world.monitor(securityHub={"accountId": testbed.ACCOUNT})
    world.start(**environment)
    output = world.await_condition("Ready", "False", reason=reason)["message"]
    assert found in output
    assert remedy in output
    assert "nothing of this cluster is read or sent" in output
    testbed.until(
        lambda: events(world, "alpha") == {reason: "Warning"}, seconds=SECONDS, what="a Warning, and no other"
    )
