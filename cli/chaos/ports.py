"""Ports for processes that come back on them."""

import random
import socket
from pathlib import Path

HOST = "127.0.0.1"
FIRST, LAST = 10_000, 32_768
TRIES = 1000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def lasting_port() -> int:
    """A port nobody listens on, and that no outgoing connection is given while it is free."""
    last = min(LAST, int(_EPHEMERAL.read_text().split()[0]))
    for _ in range(TRIES):
        port = random.SystemRandom().randrange(FIRST, last)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")
