"""EKS clusters of two accounts, with the roles that `policyhub iam-policy` prints, for both ways to sign in."""

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from dev.cluster.certificate import Authority
from dev.hub.process import HubProcess
from policyhub.api.eks import Eks
from policyhub.clock import SteadyMs
from policyhub.eks.connector import Connector, EksClusters
from policyhub.iam.policy import Role
from policyhub.kube.errors import NotTried
from tests.component.iam.pod import CLUSTER, EXTERNAL_ID, OTHER, REGION, TARGET, Pod, printed, without
from tests.component.iam.pod import roles as pod_roles

THEIRS = f"arn:aws:eks:{REGION}:{OTHER}:cluster/prod-us"


def roles(sign_in: str) -> tuple[Role, ...]:
    """The operator's role, which may describe its own cluster, and a role of the other account for the other cluster
    only.
    """
    return pod_roles(sign_in, eks_roles=(TARGET,), eks_clusters=(CLUSTER, THEIRS))


@pytest.fixture
def clusters(pod: Pod, hub: HubProcess, tmp_path: Path) -> Iterator[EksClusters]:
    """Both clusters exist, with access entries for the roles."""
    own, other = roles(pod.sign_in)
    hub.policies(printed(own, other))
    authority = base64.b64encode(Authority(tmp_path, now=datetime.now(UTC)).pem.encode()).decode()
    there = {"endpoint": "https://127.0.0.1:9", "authority": authority}
    entries = {arn: [{"principal": role.arn}] for arn, role in ((CLUSTER, own), (THEIRS, other))}
    hub.eks([{"arn": arn, **there, "entries": given} for arn, given in entries.items()])
    made = EksClusters(now=lambda: SteadyMs(1_790_000_000_000), hosts=("127.0.0.1",))
    yield made
    made.close()
    hub.eks([])


def ways(clusters: EksClusters) -> dict[str, Connector]:
    role = Eks(role_arn=TARGET, external_id=EXTERNAL_ID)
    return {
        CLUSTER: clusters.connector(Eks(), CLUSTER, name="prod-eu"),
        THEIRS: clusters.connector(role, THEIRS, name="prod-us"),
    }


async def test_the_printed_roles_reach_the_clusters_of_both_accounts(clusters: EksClusters, hub: HubProcess) -> None:
    """The operator's own role is sufficient in its account, the member role in the other; both tokens are accepted."""
    for arn, way in ways(clusters).items():
        await (await way.connect()).close()
        assert hub.review(arn, await way._tokens.token())["authenticated"]


@pytest.mark.parametrize(
    ("whose", "action", "reached"),
    [
        (0, "eks:DescribeCluster", [THEIRS]),
        (1, "eks:DescribeCluster", [CLUSTER]),
        (0, "sts:AssumeRole", [CLUSTER]),
    ],
    ids=["own DescribeCluster", "other DescribeCluster", "AssumeRole"],
)
async def test_each_permission_is_needed_for_its_cluster(
    clusters: EksClusters, pod: Pod, hub: HubProcess, *, whose: int, action: str, reached: list[str]
) -> None:
    """Without it one cluster fails with the permission's name, and the other does not."""
    documents = printed(*roles(pod.sign_in))
    documents[whose]["permissions"] = without(documents[whose]["permissions"], action)
    hub.policies(documents)
    for arn, way in ways(clusters).items():
        if arn in reached:
            await (await way.connect()).close()
        else:
            with pytest.raises(NotTried, match=action) as lost:
                await way.connect()
            assert lost.value.reason == "AccessDenied"


async def test_the_external_id_is_required(clusters: EksClusters) -> None:
    """A spec without it, or with another one, cannot assume the role."""
    for eks in (Eks(role_arn=TARGET), Eks(role_arn=TARGET, external_id="guessed")):
        with pytest.raises(NotTried, match="sts:AssumeRole"):
            await clusters.connector(eks, THEIRS, name="prod-us").connect()


def their_eks() -> Any:
    """EKS of the other account, with a role of it that the Pod assumes."""
    session: Any = botocore.session.get_session()
    sts = session.create_client("sts", region_name=REGION)
    given = sts.assume_role(RoleArn=TARGET, RoleSessionName="discovery", ExternalId=EXTERNAL_ID)["Credentials"]
    return session.create_client(
        "eks",
        region_name=REGION,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )


@pytest.mark.parametrize("lacking", ["", "eks:ListClusters", "eks:DescribeCluster"])
def test_discovery_finds_and_describes(clusters: EksClusters, pod: Pod, hub: HubProcess, lacking: str) -> None:
    """With the discovery role all clusters of the account and Region are listed and described, though none is named;
    without one of the two permissions only that call is denied.
    """
    del clusters
    own, other = printed(*pod_roles(pod.sign_in, eks_roles=(TARGET,), discover_regions=(REGION,)))
    hub.policies([own, {**other, "permissions": without(other["permissions"], lacking)}])
    eks = their_eks()
    calls: dict[str, Callable[[], list[str]]] = {
        "eks:ListClusters": lambda: eks.list_clusters()["clusters"],
        "eks:DescribeCluster": lambda: [eks.describe_cluster(name="prod-us")["cluster"]["name"]],
    }
    for action, call in calls.items():
        if action == lacking:
            with pytest.raises(ClientError, match="AccessDenied"):
                call()
        else:
            assert call() == ["prod-us"]
