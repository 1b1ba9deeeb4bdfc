"""A store written by a process of its own, which is killed."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from common.storage.base import Store
from tests.storage.samples import sample

SPAWN = multiprocessing.get_context("spawn")

GPUS = "abcdefgh"
POINTS_A_CALL = 2 * len(GPUS)


def start_writer(open_store: Callable[[Path], Store], path: Path) -> tuple[BaseProcess, Connection]:
    """Write for ever: each call a moment of eight GPUs, told once it has returned."""
    heard, told = SPAWN.Pipe(duplex=False)
    writer = SPAWN.Process(target=_write_for_ever, args=(open_store, path, told), daemon=True)
    writer.start()
    told.close()
    return writer, heard


def kill(writer: BaseProcess, heard: Connection) -> int:
    """Kill -9; return the last call that had returned, -1 when nobody heard of any."""
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    last = -1
    try:
        while True:
            last = heard.recv()
    except EOFError:
        heard.close()
    return last


def _write_for_ever(open_store: Callable[[Path], Store], path: Path, told: Connection) -> None:
    store = open_store(path)
    for call in range(1_000_000):
        store.write([sample(name, call, util=call, temp=1) for name in GPUS])
        told.send(call)
