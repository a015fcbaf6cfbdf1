"""A home cluster with the chart for the whole session. Each test, or each module with one operator, clears it."""

from collections.abc import Iterator

import pytest

from dev import testbed
from dev.cluster import ControlPlane
from dev.hub.process import HubProcess
from tests.integration.operator.world import ENGINES, World

OTHER_ACCOUNT = "444455556666"


@pytest.fixture(scope="session")
def hub() -> Iterator[HubProcess]:
    with HubProcess.start(accounts=(testbed.ACCOUNT, OTHER_ACCOUNT)) as hub:
        yield hub


@pytest.fixture(scope="session")
def home(plane: ControlPlane, hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The home cluster. It monitors itself as `alpha`, and may read two kubeconfig Secrets."""
    cluster = plane.cluster("home")
    secrets = [{"namespace": testbed.NAMESPACE, "name": name} for name in ("beta", "prod-eu-kubeconfig")]
    values = {"clusterName": "alpha", "kubeconfigSecrets": secrets}
    installed = testbed.install(cluster, tmp_path_factory.mktemp("home"), values=values)
    cluster.apply(ENGINES)
    return World(installed, hub)


@pytest.fixture(scope="session")
def second(plane: ControlPlane, hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Another cluster with the same chart, in the same account and under the same name."""
    cluster = plane.cluster("beta")
    installed = testbed.install(cluster, tmp_path_factory.mktemp("beta"), values={"clusterName": "alpha"})
    cluster.apply(ENGINES)
    return World(installed, hub)


@pytest.fixture
def world(home: World) -> Iterator[World]:
    """Cleared before and after; the test starts its own operator."""
    home.clear()
    yield home
    home.clear()
