"""Ports for the processes of a stack."""

import socket
from itertools import islice
from pathlib import Path

from cli.ports import HOST, free_ports, is_free, lasting_ports


def test_none_is_given_twice_and_none_is_the_kernels_to_give() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found = list(islice(lasting_ports(), 1000))
    assert len(set(found)) == 1000
    assert max(found) < first


def test_what_is_to_be_somebodys_is_given_to_nobody_else() -> None:
    wanted = set(islice(lasting_ports(), 500))
    found = set(islice(lasting_ports(but=wanted), 10_000))
    assert not found & wanted


def test_a_port_where_somebody_listens_is_passed_over() -> None:
    port = next(lasting_ports())
    with socket.create_server((HOST, port)):
        assert not is_free(port)
        assert set(islice(free_ports(range(port - 1, port + 2)), 3)).isdisjoint({port})
    assert is_free(port)
