"""Moves what was committed from the WAL into the file, beside whoever writes."""

import threading
from contextlib import suppress
from pathlib import Path

import apsw

CHECKPOINT_PAGES = 8_000
"""About 32 MiB of WAL: each GPU's newest page is rewritten by every call, and each checkpoint
copies it only once."""
READERS_END_MS = 20
"""How long writers wait for readers that began before, so that the WAL can begin anew."""


class Checkpoints:
    """Checkpoints of one file, one at a time, on a connection of their own.

    Left to SQLite, a checkpoint is part of the commit that made the WAL long enough: whoever
    waits for that writer then waits for the copying of all these pages too. Here only what was
    committed meanwhile is copied while ``writing`` is held, so that all is copied when the next
    write begins: only then does the WAL begin anew.
    """

    def __init__(self, path: Path, writing: threading.Lock) -> None:
        self._path = path
        self._writing = writing
        self._pages = 0
        self._running = threading.Lock()

    def watch(self, db: apsw.Connection) -> None:
        """Take a writing connection's checkpoints over."""
        db.set_wal_hook(self._committed)

    def run_if_due(self) -> None:
        """Checkpoint when the WAL is long; a caller that finds one running goes on at once.

        ``writing`` must not be held. One that fails loses nothing, since all is in the WAL; it
        is tried again after the next commit, and a disk without room shows in the commits.
        """
        if self._pages < CHECKPOINT_PAGES or not self._running.acquire(blocking=False):
            return
        try:
            self._pages = 0
            with suppress(apsw.Error):
                self._run()
        finally:
            self._running.release()

    def _run(self) -> None:
        db = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            db.pragma("synchronous", "full")
            db.pragma("user_version")  # who has not read yet knows of no WAL
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            db.set_busy_timeout(READERS_END_MS)
            with self._writing:
                db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        finally:
            db.close()

    def _committed(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        self._pages = pages
        return apsw.SQLITE_OK
