"""Ports for the processes of a stack."""

import socket
from itertools import islice
from pathlib import Path

import pytest

from cli.ports import HOST, free_ports, is_free, lasting_ports


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that says which ports the kernel gives to connections going out."""
    file = tmp_path / "ip_local_port_range"
    monkeypatch.setattr("cli.ports._EPHEMERAL", file)
    return file


def test_none_is_given_twice_and_none_is_the_kernels_to_give(kernels: Path) -> None:
    kernels.write_text("20000\t60999\n")
    found = list(islice(lasting_ports(), 1000))
    assert len(set(found)) == 1000
    assert max(found) < 20000


def test_there_are_ports_where_the_kernel_may_give_any(kernels: Path) -> None:
    kernels.write_text("1024\t65535\n")
    assert next(lasting_ports()) > 1024


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
