"""Standard input, read without ever waiting longer than a stop may take."""

import os
import select
import threading

STEP_SECONDS = 0.2


class Pipe:
    """What comes over a file descriptor. ``read`` waits for the first bytes; ``stop`` ends it.

    Until ``settle`` it keeps all that was read, so that its beginning can be looked at.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._stopped = threading.Event()
        self._kept = b""
        self._at = 0
        self._keeping = True

    @property
    def stopped(self) -> bool:
        """Whether it was ended before its end."""
        return self._stopped.is_set()

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, none at the end or once stopped."""
        if self._at < len(self._kept):
            data = self._kept[self._at : self._at + size]
        else:
            data = self._wait(size)
            self._kept += data if self._keeping else b""
        self._at += len(data)
        return data

    def seek(self, offset: int, _whence: int = 0, /) -> int:
        """Go back to where it has been before it was settled."""
        if offset > len(self._kept):
            raise OSError("standard input cannot be read twice")
        self._at = offset
        return offset

    def seekable(self) -> bool:
        """Its beginning is."""
        return True

    def settle(self) -> None:
        """Keep nothing more; the beginning was looked at."""
        self._keeping = False

    def stop(self) -> None:
        """End a read that waits, from another thread."""
        self._stopped.set()

    def _wait(self, size: int) -> bytes:
        while not self._stopped.is_set():
            ready, _, _ = select.select([self._descriptor], [], [], STEP_SECONDS)
            if ready:
                return os.read(self._descriptor, size)
        return b""
