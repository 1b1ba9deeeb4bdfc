"""How old log files are, on a clock that no one sets.

A file's age is counted from the moment it was begun, on the monotonic clock. What lay there at a
start is as much older as its records say that it is behind the newest one: the time a broker was
switched off does not count, and neither does a wall clock that jumped since.
"""

from common.clock import Clock


class Ages:
    """The ages of one log's files, by their base offset; ``newest_ms`` is its newest record's."""

    def __init__(self, clock: Clock, newest_ms: int) -> None:
        self._clock = clock
        self._newest_ms = newest_ms
        self._opened = clock.monotonic()
        self._began: dict[int, float] = {}

    def begin(self, base: int) -> None:
        """A file is begun now."""
        self._began[base] = self._clock.monotonic()

    def seconds(self, base: int, created_ms: int) -> float:
        """The age of the file at ``base``, whose first record was made at ``created_ms``."""
        now = self._clock.monotonic()
        if base in self._began:
            return now - self._began[base]
        return max(0, self._newest_ms - created_ms) / 1000 + now - self._opened

    def forget(self, below: int) -> None:
        """Files that begin below an offset are gone."""
        for base in [base for base in self._began if base < below]:
            del self._began[base]
