"""Contenders one after the other: a server of each, and the same work."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from cli.bench.drive import Client, Result, Server, Work, drive

WARM_BYTES = 4 << 30


class Contender(NamedTuple):
    """A queue with its usual Python client."""

    name: str
    start: Callable[[Path], AbstractContextManager[Server]]
    produce: Client
    consume: Client


def warm_up(directory: Path) -> None:
    """Have the machine own the memory that a run will fill.

    A virtual machine gives memory that it does not use back to its host. Getting it again, page by
    page, costs ten times what a write to a file costs otherwise, and falls on whoever comes first.
    """
    path, block = directory / "warm", os.urandom(1 << 20)
    with path.open("wb", buffering=0) as file:
        for _ in range(WARM_BYTES >> 20):
            file.write(block)
    path.unlink()


def run(contender: Contender, work: Work, directory: Path) -> Result:
    """Start it in a directory and drive it."""
    warm_up(directory)
    with contender.start(directory) as server:
        return drive(server, work, contender.produce, contender.consume)
