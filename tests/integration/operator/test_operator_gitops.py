"""What GitOps tools apply: rendered MonitoredClusters."""

from tests import gitops
from tests.gitops import SHAPES
from tests.integration.operator.world import CLUSTERS, World


def test_rendered_monitored_clusters_are_accepted(world: World) -> None:
    """Schema and rules of the CRD accept the MonitoredCluster of each of Argo CD's cluster Secrets, and of Flux's."""
    made = gitops.flux()
    for secret, _, _ in SHAPES.values():
        for application in gitops.applications(secret):
            made += gitops.monitored(application)
    assert len(made) == len(SHAPES) + 1
    for document in made:
        taken = world.cluster.request("POST", CLUSTERS, document, dryRun="All")
        assert taken["spec"]["clusterArn"] == document["spec"]["clusterArn"]
