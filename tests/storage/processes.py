"""A store made or written by a process of its own, which is killed."""

import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from common.storage.base import Store
from common.storage.sqlite.store import SqliteStore
from tests.storage.samples import sample
from tests.support.warm import FORKS

GPUS = "abcdefgh"
POINTS_A_CALL = 2 * len(GPUS)


def start_writer(open_store: Callable[[Path], Store], path: Path) -> tuple[BaseProcess, Connection]:
    """Write for ever: each call a moment of eight GPUs, told once it has returned."""
    heard, told = FORKS.Pipe(duplex=False)
    writer = FORKS.Process(target=_write_for_ever, args=(open_store, path, told), daemon=True)
    writer.start()
    told.close()
    return writer, heard


def start_maker(path: Path) -> BaseProcess:
    """Make a SQLite file, in a process that stops itself before and waits for SIGCONT."""
    maker = FORKS.Process(target=_make, args=(path,), daemon=True)
    maker.start()
    return maker


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


def _make(path: Path) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    SqliteStore(path).close()
