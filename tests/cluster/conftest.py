"""A control plane for the tests of a file; one at a time on a machine."""

import fcntl
from collections.abc import Iterator

import pytest

from tests.cluster.control_plane import ControlPlane, control_plane
from tests.cluster.node import Nodes, acting_nodes


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd, API server, controllers, scheduler: too much to run twice beside each other."""
    shared = tmp_path_factory.getbasetemp().parent / "plane.lock"
    with shared.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with control_plane(tmp_path_factory.mktemp("plane")) as found:
            yield found


@pytest.fixture(scope="module")
def nodes(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Nodes that run what they are given."""
    with acting_nodes(plane.kube, tmp_path_factory.mktemp("nodes")) as found:
        yield found
