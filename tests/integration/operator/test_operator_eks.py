"""EKS clusters by their ARN: a real API server that authenticates callers only by their tokens and access entries."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.cluster import ControlPlane
from dev.hub.process import HubProcess
from dev.testbed import NAMESPACE, REGION
from policyhub.api.eks import Eks as ApiEks
from policyhub.clock import SteadyMs
from policyhub.eks.connector import EksClusters
from tests.faults.harness import CLOCK
from tests.integration.operator.fleet import ARN, BY_ROLE, EXTERNAL_ID, OPERATOR, OTHER, ROLE, Eks
from tests.integration.operator.test_operator_clusters import write
from tests.integration.operator.test_operator_deletion import of_another
from tests.integration.operator.world import Document, World, report, result
from tests.integration.takeover.relay import Relay
from tests.integration.threaded import Relaying


@pytest.fixture(scope="module")
def cluster(plane: ControlPlane, hub: HubProcess) -> Eks:
    return Eks(plane.cluster("eks", authenticator=hub.authenticator(ARN)), hub)


@pytest.fixture
def eks(cluster: Eks, world: World, hub: HubProcess) -> Iterator[Eks]:
    """One violation in it; no operator yet."""
    cluster.begin()
    reports(cluster, "web")
    yield cluster
    world.end()
    hub.eks([])
    hub.roles({})
    hub.switch(signing_time="ignored")
    hub.pass_time(0)


def reports(eks: Eks, *names: str) -> None:
    """Exactly these Deployments violate the policy `probes`."""
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    expected = [report(name, result("probes")) for name in names]
    eks.cluster.apply([space, *expected])
    path = "/apis/wgpolicyk8s.io/v1alpha2/namespaces/shop/policyreports"
    for there in eks.cluster.request("GET", path)["items"]:
        if there["metadata"]["name"] not in {one["metadata"]["name"] for one in expected}:
            eks.cluster.request("DELETE", f"{path}/{there['metadata']['name']}")


def monitor(world: World, **connection: Any) -> None:
    world.monitor("prod-eu", clusterArn=ARN, archiveDelay="1s", connection={"eks": connection})


def connected(world: World, status: str, reason: str = "") -> Document:
    return world.await_condition("Connected", status, reason=reason, name="prod-eu")


def states(world: World) -> dict[str, str]:
    return world.states("probes", cluster=ARN)


def asked(world: World) -> list[tuple[str, str]]:
    """Operations and accounts of the calls to EKS and STS."""
    expected = ("DescribeCluster", "AssumeRole", "GetCallerIdentity")
    return [(call["operation"], call["account"]) for call in world.calls() if call["operation"] in expected]


def test_with_a_role_of_the_clusters_account(world: World, eks: Eks, hub: HubProcess) -> None:
    """With the ARN and a role the operator asks EKS once for the endpoint, signs in with one token, watches with the
    permissions of the access entry's group, and the findings name the cluster by its ARN.
    """
    before = hub.tokens(ARN)
    monitor(world, **BY_ROLE)
    world.start()
    world.well("prod-eu")
    assert states(world) == {"web": "ACTIVE"}
    reports(eks, "shop")
    world.await_states("probes", cluster=ARN, web="ARCHIVED", shop="ACTIVE")
    assert asked(world).count(("DescribeCluster", OTHER)) == 1
    assert hub.tokens(ARN) - before == 1
    assert world.monitored("prod-eu")["status"]["clusterUid"] == eks.cluster.uid


def test_with_the_operators_own_identity(world: World, eks: Eks) -> None:
    """With endpoint and certificate authority in the spec, an access entry for the operator is all that the cluster's
    account needs: no call is made there, no role is assumed.
    """
    eks.describe_as(principals=(OPERATOR,))
    monitor(world, **eks.given)
    world.start()
    world.well("prod-eu")
    assert states(world) == {"web": "ACTIVE"}
    assert [call for call in asked(world) if call[0] != "GetCallerIdentity"] == []


def test_the_name_stays_the_identity_with_eks_arn(world: World, eks: Eks) -> None:
    """`eks.arn` is for the connection only: findings of a cluster without clusterArn keep their ids."""
    world.monitor("prod-eu", connection={"eks": {"arn": ARN, **BY_ROLE}})
    world.start()
    world.well("prod-eu")
    assert world.states("probes", cluster="prod-eu") == {"web": "ACTIVE"}


def test_a_role_is_revoked_and_granted_again(world: World, eks: Eks, hub: HubProcess) -> None:
    """While the role cannot be assumed, Connected says so and no finding changes; then the work continues without a
    restart.
    """
    monitor(world, **BY_ROLE)
    world.start()
    world.well("prod-eu")
    hub.roles({ROLE: "another"})
    hub.expire_sessions()
    lost = connected(world, "False", "AccessDenied")
    assert "sts:AssumeRole" in lost["message"]
    mark = world.mark()
    reports(eks)
    world.until(lambda: len(world.calls(mark, "AssumeRole")) >= 2, "the role to be assumed again")
    assert states(world) == {"web": "ACTIVE"}
    hub.roles({ROLE: EXTERNAL_ID})
    connected(world, "True")
    world.await_states("probes", cluster=ARN, web="ARCHIVED")


def test_a_recreated_role_has_no_access_entry(world: World, eks: Eks, hub: HubProcess) -> None:
    """The access entry has the role's ARN and the token is valid, but it is another role: the message says that, with
    the commands; a new entry fixes it.
    """
    monitor(world, **BY_ROLE)
    world.start()
    world.well("prod-eu")
    hub.recreate_role(ROLE)
    lost = connected(world, "False", "AccessEntryMissing")
    assert "deleted and created again" in lost["message"]
    at = "--region eu-west-1 --cluster-name prod-eu"
    assert f"aws eks create-access-entry {at} --principal-arn {ROLE} --kubernetes-groups policyhub" in lost["message"]
    assert states(world) == {"web": "ACTIVE"}
    eks.gone()
    eks.describe_as()
    connected(world, "True")


def test_a_cluster_without_access_entries(world: World, eks: Eks) -> None:
    """In the authentication mode CONFIG_MAP an access entry has no effect: the message says that, and how to change the
    mode.
    """
    eks.describe_as(mode="CONFIG_MAP")
    monitor(world, **BY_ROLE)
    world.start()
    lost = connected(world, "False", "ConfigMapOnly")
    assert "--access-config authenticationMode=API_AND_CONFIG_MAP" in lost["message"]
    eks.describe_as(mode="API_AND_CONFIG_MAP")
    connected(world, "True")


def test_a_group_without_a_binding(world: World, eks: Eks) -> None:
    """An access entry whose group has no permissions is distinguished from a missing entry."""
    eks.bind(bound=False)
    monitor(world, **BY_ROLE)
    world.start()
    lost = connected(world, "False", "Forbidden")
    assert "Install the chart policyhub-access in that cluster" in lost["message"]
    eks.bind(bound=True)
    connected(world, "True")


def test_a_wrong_clock(world: World, eks: Eks, hub: HubProcess, tmp_path: Path) -> None:
    """A token that was signed an hour in the past is rejected: the message does not blame the access entry."""
    offset = tmp_path / "offset"
    offset.write_text("-3600")
    hub.switch(signing_time="checked")
    monitor(world, **eks.given)
    path = os.pathsep.join(filter(None, (str(CLOCK), os.environ.get("PYTHONPATH"))))
    world.start(FAKE_OFFSET=str(offset), PYTHONPATH=path)
    lost = connected(world, "False", "ClockSkew")
    assert "Signature expired" in lost["message"]
    offset.write_text("0")
    connected(world, "True")


@pytest.mark.parametrize(
    ("reported", "reason"),
    [
        ({"status": "CREATING"}, "ClusterCreating"),
        ({"status": "PENDING"}, "ClusterCreating"),
        ({"status": "FAILED"}, "ClusterFailed"),
        ({"status": "DELETING"}, "ClusterDeleting"),
        ({"connected": True}, "ClusterExternal"),
    ],
    ids=str,
)
def test_clusters_without_an_api_server(world: World, eks: Eks, reported: dict[str, Any], reason: str) -> None:
    """A cluster that DescribeCluster finds but that has no API server is reported with its status; UPDATING is
    served.
    """
    eks.describe_as(**reported)
    monitor(world, **BY_ROLE)
    world.start()
    connected(world, "False", reason)
    eks.describe_as(status="UPDATING")
    connected(world, "True")


def test_a_deleted_cluster(world: World, eks: Eks) -> None:
    """If EKS does not know the cluster in the cluster's own account, the message says how to retire it; its findings
    stay active.
    """
    monitor(world, **BY_ROLE)
    world.start()
    world.well("prod-eu")
    mark = world.mark()
    eks.cluster.stop()
    eks.gone()
    try:
        lost = connected(world, "False", "ClusterGone")
        assert f"account {OTHER} has no EKS cluster prod-eu in eu-west-1" in lost["message"]
        assert "policyhub retire prod-eu" in lost["message"]
        world.until(lambda: len(world.calls(mark, "DescribeCluster")) >= 3, "EKS to be called again")
        assert states(world) == {"web": "ACTIVE"}
        assert world.journal(mark) == []
    finally:
        eks.cluster.restart()
    eks.describe_as()
    connected(world, "True")


def by_uid(hub: HubProcess) -> dict[str, str]:
    """The record states of the cluster's findings, by uid."""
    found = hub.findings(prefix=f"policyhub/{ARN}/")
    return {one["ProductFields"]["policyhub/cluster-uid"]: one["RecordState"] for one in found}


def test_findings_of_a_deleted_cluster(world: World, eks: Eks, hub: HubProcess, tmp_path: Path) -> None:
    """After an hour they are archived if the MonitoredCluster says Archive, and stay if it says Hold; those of another
    uid stay too. A cluster that returns has its findings again.
    """
    steady = tmp_path / "steady"
    steady.write_text("0")
    world.monitor("prod-eu", clusterArn=ARN, archiveDelay="1s", connection={"eks": BY_ROLE}, onClusterGone="Archive")
    world.monitor("held", archiveDelay="1s", connection={"eks": {"arn": ARN, **BY_ROLE}})
    path = os.pathsep.join(filter(None, (str(CLOCK), os.environ.get("PYTHONPATH"))))
    world.start(FAKE_STEADY=str(steady), PYTHONPATH=path)
    world.synced("prod-eu")
    world.synced("held")
    assert world.monitored("prod-eu")["status"]["eksArn"] == ARN
    write(world, of_another(world.of("probes", cluster=ARN)["web"], identity=ARN, uid="another"))
    mark, uid = world.mark(), eks.cluster.uid
    eks.cluster.stop()
    eks.gone()
    try:
        waiting = connected(world, "False", "ClusterGone")
        assert "If it is still gone at" in waiting["message"]
        world.await_condition("Connected", "False", reason="ClusterGone", name="held")
        assert world.journal(mark) == []
        steady.write_text("3700")
        world.until(lambda: "1 finding archived" in world.condition("Connected", "prod-eu")["message"], "an end")
        assert by_uid(hub) == {uid: "ARCHIVED", "another": "ACTIVE"}
        assert world.states("probes", cluster="held") == {"web": "ACTIVE"}
        assert "policyhub retire held counts its findings" in world.condition("Connected", "held")["message"]
    finally:
        eks.cluster.restart()
    eks.describe_as()
    connected(world, "True")
    world.until(lambda: by_uid(hub) == {uid: "ACTIVE", "another": "ACTIVE"}, "the finding to be active again")


def test_a_wrong_account_cannot_tell_that_a_cluster_is_gone(world: World, eks: Eks) -> None:
    """DescribeCluster in another account than the cluster's proves nothing, and the message names both accounts."""
    monitor(world)
    world.start()
    lost = connected(world, "False", "ClusterNotFound")
    assert "account 111122223333 has no EKS cluster prod-eu" in lost["message"]
    assert f"The cluster belongs to account {OTHER}, which was not searched" in lost["message"]
    assert "retire" not in lost["message"]


def test_a_moved_endpoint(world: World, eks: Eks) -> None:
    """If the API server stops answering, EKS is asked for its address again, and the work continues at the new one."""
    port = int(eks.cluster.url.rpartition(":")[2])
    with Relay("127.0.0.1", port) as relay:
        eks.describe_as(endpoint=f"https://127.0.0.1:{relay.port}")
        monitor(world, **BY_ROLE)
        world.start()
        world.well("prod-eu")
    eks.describe_as(public=False, endpoint=f"https://127.0.0.1:{relay.port}")
    assert "security group" in connected(world, "False", "EndpointPrivate")["message"]
    eks.describe_as()
    reports(eks, "shop")
    world.await_states("probes", cluster=ARN, web="ARCHIVED", shop="ACTIVE")


def test_a_throttled_eks(world: World, eks: Eks, hub: HubProcess) -> None:
    """An operator that knows the endpoint continues with it; one that starts waits and says why."""
    monitor(world, **BY_ROLE)
    world.start()
    world.well("prod-eu")
    hub.fault("throttle", operation="DescribeCluster")
    mark = world.mark()
    hub.expire_sessions()
    world.until(lambda: bool(world.calls(mark, "DescribeCluster")), "a new connection")
    reports(eks, "shop")
    world.await_states("probes", cluster=ARN, web="ARCHIVED", shop="ACTIVE")
    world.end()
    world.start()
    connected(world, "False", "Throttled")
    hub.clear_faults()
    connected(world, "True")


def test_no_token_in_log_or_status(world: World, eks: Eks) -> None:
    """Neither the token nor its signing key is written anywhere, even if the API server rejects it."""
    eks.describe_as(principals=())
    monitor(world, **BY_ROLE)
    world.start()
    connected(world, "False", "AccessEntryMissing")
    text = json.dumps([world.operator.log(), world.monitored("prod-eu")])
    for secret in ("k8s-aws-v1.", "X-Amz-Signature", "X-Amz-Security-Token"):
        assert secret not in text


def signed(hub: HubProcess, offset: Path) -> str:
    """A token of the operator's own identity, signed by the clock in that file."""
    program = "from policyhub.eks.token import encode; from policyhub.securityhub.credentials import Clients as C;"
    program += f"print(encode(C(region='{REGION}', version='0').caller_url('prod-eu').url))"
    environ = {**os.environ, **hub.env(), "FAKE_OFFSET": str(offset), "PYTHONPATH": str(CLOCK)}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.strip()


def test_a_kubeconfig_of_cluster_api(world: World, eks: Eks, hub: HubProcess, tmp_path: Path) -> None:
    """The token in the Secret expires after 15 minutes and is replaced before that: Connected does not change, no
    report is listed again, and changes of the cluster arrive.
    """
    offset = tmp_path / "offset"

    def write(signed_at: str) -> None:
        offset.write_text(signed_at)
        config = eks.cluster.kubeconfig()
        config["users"][0]["user"] = {"token": signed(hub, offset)}
        metadata = {"name": "prod-eu-kubeconfig", "namespace": NAMESPACE}
        content = {"stringData": {"value": json.dumps(config)}, "type": "cluster.x-k8s.io/secret"}
        world.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **content})

    write("-600")
    reference = {"namespace": NAMESPACE, "name": "prod-eu-kubeconfig", "key": "value"}
    world.monitor("prod-eu", clusterArn=ARN, archiveDelay="1s", connection={"kubeconfigSecretRef": reference})
    world.start()
    world.well("prod-eu")
    since = world.condition("Connected", "prod-eu")["lastTransitionTime"]
    write("0")
    before = hub.tokens(ARN)
    hub.pass_time(360)
    world.until(lambda: hub.tokens(ARN) > before, "the new token to be used")
    reports(eks, "shop")
    world.await_states("probes", cluster=ARN, web="ARCHIVED", shop="ACTIVE")
    assert world.condition("Connected", "prod-eu")["lastTransitionTime"] == since
    assert not {"cluster_unreachable", "reconnecting"} & {line.get("event") for line in world.operator.log()}


async def test_a_watch_outlives_its_token(eks: Eks, hub: HubProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch continues after its token has expired; a request thirteen minutes later uses a new token, before the old
    one expires.
    """
    for name, value in hub.env().items():
        monkeypatch.setenv(name, value)
    now = 1_790_000_000_000
    clusters = EksClusters(now=lambda: SteadyMs(now), hosts=("127.0.0.1",))
    connector = clusters.connector(ApiEks.model_validate(BY_ROLE), ARN, name="prod-eu")
    path = "/apis/wgpolicyk8s.io/v1alpha2/policyreports"
    before = hub.tokens(ARN)
    async with await connector.connect() as connection:
        listed = json.loads(await connection.get(path))
        params = {"watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"]}
        async with connection.stream(path, params, idle_seconds=60) as lines:
            await connection.get(path)
            assert hub.tokens(ARN) - before == 1
            await asyncio.sleep(1)  # signatures have whole seconds: two of the same second are the same token
            now += 13 * 60_000
            hub.pass_time(13 * 60)
            await connection.get(path)
            await (connector._tokens._renewal or asyncio.sleep(0))
            await connection.get(path)
            assert hub.tokens(ARN) - before == 2
            hub.expire_sessions()
            await asyncio.to_thread(reports, eks, "web", "later")
            while json.loads(await anext(lines))["object"]["metadata"]["name"] != "report-later":
                pass
    clusters.close()


class Proxy(Relaying):
    """A proxy that answers CONNECT to any host."""

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.asked: list[str] = []

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._started.set()
        await self._stop.wait()
        server.close()
        await self._end()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._keep(self._connect(reader, writer))

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, place, _ = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ", 2)
        self.asked.append(place)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        host, _, port = place.rpartition(":")
        await self._lead((reader, writer), host, int(port))


def test_through_a_proxy(world: World, eks: Eks) -> None:
    """The proxy in the operator's environment is used for the cluster too, unless NO_PROXY names its endpoint."""
    port = eks.cluster.url.rpartition(":")[2]
    eks.describe_as(endpoint=f"https://localhost:{port}")
    monitor(world, **BY_ROLE)
    with Proxy() as proxy:
        world.start(HTTPS_PROXY=proxy.url, https_proxy=proxy.url)
        connected(world, "True")
        assert {*proxy.asked} == {f"localhost:{port}"}
        world.end()
