"""Ports for processes that come back on them."""

import itertools
import random
import socket
from collections.abc import Collection, Iterator
from pathlib import Path

HOST = "127.0.0.1"
FIRST, LAST = 10_000, 32_768
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def lasting_ports(but: Collection[int | None] = ()) -> Iterator[int]:
    """Ports nobody listens on, one after the other, and that no connection is given meanwhile.

    Those of the kernel's own choice would be anybody's again until a process listens: a sibling's,
    or that of a connection going out. Where the kernel may give any port, there is nothing better.
    """
    kernels = int(_EPHEMERAL.read_text().split()[0])
    free = free_ports(range(FIRST, min(LAST, kernels) if kernels > FIRST else LAST))
    return (port for port in free if port not in but)


def free_ports(among: range) -> Iterator[int]:
    """Those that nobody listens on, without an end, from any of them on."""
    start = random.SystemRandom().randrange(len(among))
    for step in itertools.count(start):
        port = among[step % len(among)]
        if is_free(port):
            yield port


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
