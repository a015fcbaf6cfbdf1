"""The doctor about EKS clusters that are connected by their ARN."""

import pytest

from dev.cluster import ControlPlane
from dev.hub.process import HubProcess
from tests.integration.doctor.clinic import Clinic
from tests.integration.operator.fleet import ARN, BY_ROLE, OPERATOR, ROLE, Eks
from tests.integration.operator.world import World


@pytest.fixture(scope="module")
def cluster(plane: ControlPlane, hub: HubProcess) -> Eks:
    return Eks(plane.cluster("doctor-eks", authenticator=hub.authenticator(ARN)), hub)


def test_eks_clusters_well_and_not(cluster: Eks, world: World, clinic: Clinic) -> None:
    """The same command finds an EKS cluster fine, its access entry missing, its group unbound, and the cluster gone;
    the cluster at home is looked at all the same.
    """
    cluster.begin()
    world.monitor("prod-eu", clusterArn=ARN, connection={"eks": BY_ROLE})
    told = clinic.doctor("prod-eu", "alpha")
    assert told.states("connection", about="prod-eu") == ["fine"]
    assert told.states("api-access", about="prod-eu") == ["fine"]
    cluster.be(principals=(OPERATOR,))
    told = clinic.doctor("prod-eu", "alpha")
    lost = told.problem("connection")
    assert lost["found"].startswith("AccessEntryMissing: ")
    assert (
        f"aws eks create-access-entry --region eu-west-1 --cluster-name prod-eu --principal-arn {ROLE}"
        in lost["remedy"]
    )
    assert told.states("connection", about="alpha") == ["fine"]
    cluster.be()
    cluster.bind(bound=False)
    assert clinic.doctor("prod-eu").problem("connection")["found"].startswith("Forbidden: ")
    cluster.gone()
    gone = clinic.doctor("prod-eu").problem("connection")
    assert gone["found"].startswith("ClusterGone: ")
    assert "policyhub retire prod-eu: it counts the findings" in gone["remedy"]
