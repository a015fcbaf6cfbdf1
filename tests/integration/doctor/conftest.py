"""A cluster with the chart and the engines' CRDs, the local hub, and the doctor command."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dev import testbed
from dev.cluster import ControlPlane
from dev.hub.process import HubProcess
from tests.integration.doctor.cli import DoctorCli
from tests.integration.operator.world import ENGINES, World

OTHER_ACCOUNT = "444455556666"


@pytest.fixture(scope="session")
def hub() -> Iterator[HubProcess]:
    with HubProcess.start(accounts=(testbed.ACCOUNT, OTHER_ACCOUNT)) as hub:
        yield hub


@pytest.fixture(scope="session")
def home(plane: ControlPlane, hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> World:
    cluster = plane.cluster("doctor")
    values = {"clusterName": "alpha", "kubeconfigSecrets": [{"namespace": testbed.NAMESPACE, "name": "beta"}]}
    installed = testbed.install(cluster, tmp_path_factory.mktemp("doctor"), values=values)
    cluster.apply(ENGINES)
    return World(installed, hub)


@pytest.fixture
def world(home: World) -> Iterator[World]:
    """Cleared before and after each test, with the MonitoredCluster `alpha` and no operator."""
    home.clear()
    home.hub.roles({})
    home.hub.quotas(on=False)
    home.monitor()
    yield home
    home.clear()
    home.hub.enable(on=True)


@pytest.fixture
def cli(world: World, tmp_path: Path) -> DoctorCli:
    return DoctorCli(world, tmp_path)
