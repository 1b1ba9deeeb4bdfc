"""The time of rows that name none."""

from typing import Protocol

from common.clock import Clock

MS_PER_SECOND = 1000


class Untimed(Protocol):
    """Gives a row without a time one of its own, in milliseconds since 1970 UTC."""

    def moment(self, number: int) -> int:
        """Return the time of the row at line ``number``; rows are asked for in order."""


class FileTime:
    """When the file was last written, and a millisecond a line: the same at each reading."""

    def __init__(self, modified_ms: int) -> None:
        self._modified_ms = modified_ms

    def moment(self, number: int) -> int:
        """See ``Untimed``."""
        return self._modified_ms + number


class ArrivalTime:
    """When the row was read, no two in the same millisecond."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._newest = 0

    def moment(self, number: int) -> int:
        """See ``Untimed``."""
        self._newest = max(self._newest + 1, int(self._clock.wall() * MS_PER_SECOND))
        return self._newest
