"""The doctor's checks of EKS clusters that are connected by their ARN."""

import pytest

from dev.cluster import ControlPlane
from dev.hub.process import HubProcess
from tests.integration.doctor.cli import DoctorCli
from tests.integration.operator.fleet import ARN, BY_ROLE, OPERATOR, ROLE, Eks
from tests.integration.operator.world import World


@pytest.fixture(scope="module")
def cluster(plane: ControlPlane, hub: HubProcess) -> Eks:
    return Eks(plane.cluster("doctor-eks", authenticator=hub.authenticator(ARN)), hub)


def test_connection_checks_of_eks_clusters(cluster: Eks, world: World, cli: DoctorCli) -> None:
    """The same command reports a working EKS cluster, a missing access entry, a group without a binding, and a deleted
    cluster; the home cluster is checked all the same.
    """
    cluster.begin()
    world.monitor("prod-eu", clusterArn=ARN, connection={"eks": BY_ROLE})
    output = cli.doctor("prod-eu", "alpha")
    assert output.states("connection", about="prod-eu") == ["fine"]
    assert output.states("api-access", about="prod-eu") == ["fine"]
    cluster.describe_as(principals=(OPERATOR,))
    output = cli.doctor("prod-eu", "alpha")
    lost = output.problem("connection")
    assert lost["found"].startswith("AccessEntryMissing: ")
    assert (
        f"aws eks create-access-entry --region eu-west-1 --cluster-name prod-eu --principal-arn {ROLE}"
        in lost["remedy"]
    )
    assert output.states("connection", about="alpha") == ["fine"]
    cluster.describe_as()
    cluster.bind(bound=False)
    assert cli.doctor("prod-eu").problem("connection")["found"].startswith("Forbidden: ")
    cluster.gone()
    gone = cli.doctor("prod-eu").problem("connection")
    assert gone["found"].startswith("ClusterGone: ")
    assert "policyhub retire prod-eu counts its findings" in gone["remedy"]
