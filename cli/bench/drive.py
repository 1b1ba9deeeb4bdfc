"""Two client processes, begun together and timed together."""

import base64
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, NamedTuple

START_SECONDS = 60
RUN_SECONDS = 600


@dataclass(frozen=True)
class Work:
    """``messages`` of ``size`` bytes; where there are requests, ``batch`` to each and ``lanes`` of
    them in flight.
    """

    messages: int
    size: int
    batch: int = 1000
    lanes: int = 16

    def payload(self) -> bytes:
        """Text that does not compress and holds no line break."""
        return base64.b64encode(os.urandom(self.size))[: self.size]


class Server(NamedTuple):
    """Where a server listens, and its processes."""

    address: str
    pids: tuple[int, ...]


Gate = Callable[[], object]
Client = Callable[[str, Work, Gate], None]
"""Connects to an address, passes the gate, then does its part of the work and returns."""


class Result(NamedTuple):
    """What a run came to; ``cpu_seconds`` of server and clients together, starts excluded.

    ``served_seconds`` are the server's of these.
    """

    messages: int
    size: int
    seconds: float
    cpu_seconds: float
    served_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def cpu_per_million(self) -> float:
        """CPU seconds for a million messages."""
        return self.cpu_seconds / self.messages * 1e6


class ClientFailedError(Exception):
    """A client process did not do its part."""


def drive(server: Server, work: Work, produce: Client, consume: Client) -> Result:
    """Time from the common start to the end of the last client; blocks."""
    context = multiprocessing.get_context("spawn")
    barrier, spent = context.Barrier(3), context.SimpleQueue()
    clients = [
        context.Process(target=_take_part, args=(act, server.address, work, barrier, spent))
        for act in (consume, produce)
    ]
    for client in clients:
        client.start()
    barrier.wait(START_SECONDS)
    before, began = cpu_of(server.pids), time.perf_counter()
    for client in clients:
        client.join(RUN_SECONDS)
    seconds = time.perf_counter() - began
    served = cpu_of(server.pids) - before
    if any(client.exitcode for client in clients):
        raise ClientFailedError(f"a client of {server.address} failed")
    spent_seconds = sum(spent.get() for _ in clients)
    return Result(work.messages, work.size, seconds, served + spent_seconds, served)


def _take_part(act: Client, address: str, work: Work, barrier: Barrier, spent: Any) -> None:
    """The body of a client process."""
    before = 0.0

    def gate() -> None:
        nonlocal before
        barrier.wait(START_SECONDS)
        before = time.process_time()

    act(address, work, gate)
    spent.put(time.process_time() - before)


def cpu_of(pids: Sequence[int]) -> float:
    """CPU seconds that processes have used."""
    texts = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(text[11]) + int(text[12]) for text in texts) / os.sysconf("SC_CLK_TCK")
