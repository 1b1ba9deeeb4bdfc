"""Ports for processes of tests."""

import os

from cli.ports import free_ports

FIRST, EACH, WORKERS = 2000, 800, 6
"""Below what the product chooses from; a part for each worker, so that none has another's."""

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
_PORTS = free_ports(range(FIRST + EACH * _WORKER, FIRST + EACH * (_WORKER + 1)))


def free_port() -> int:
    """A loopback port that nobody listens on, and that is given to nobody else for a while."""
    return next(_PORTS)
