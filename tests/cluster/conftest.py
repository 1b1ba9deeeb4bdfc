"""One control plane for all tests of a session."""

from collections.abc import Iterator

import pytest

from tests.cluster.control_plane import ControlPlane, control_plane
from tests.cluster.node import Nodes, acting_nodes


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd, API server, controllers, scheduler."""
    with control_plane(tmp_path_factory.mktemp("plane")) as found:
        yield found


@pytest.fixture(scope="module")
def nodes(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Nodes that run what they are given."""
    with acting_nodes(plane.kube, tmp_path_factory.mktemp("nodes")) as found:
        yield found
