"""An API server with the CRDs, for the whole session."""

from collections.abc import Iterator

import pytest

from dev.cluster import Cluster, ControlPlane
from policyhub.api import crd


@pytest.fixture(scope="session")
def server(plane: ControlPlane) -> Iterator[Cluster]:
    """A separate cluster, because operators of other tests must not see these objects."""
    cluster = plane.cluster("schema")
    cluster.apply([crd.definition(), crd.discovery_definition()])
    yield cluster
    cluster.stop()
