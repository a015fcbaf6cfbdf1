"""A real control plane for the whole session. Tests create their own namespaces and leave the cluster running."""

from collections.abc import Iterator

import pytest

from dev.cluster import Cluster, ControlPlane


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane.start(progress=print) as plane:
        yield plane


@pytest.fixture(scope="session")
def cluster(plane: ControlPlane) -> Cluster:
    """Shared by the session. A test that stops a cluster starts its own with `plane.cluster(name)`."""
    return plane.cluster("alpha")
