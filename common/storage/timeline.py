"""Which parts of a range are read as points, and which as rollups."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from common.storage.rollup import HOUR_MS


class Piece(NamedTuple):
    """A part of a range, both ends included. One that is ``rolled`` lies in rolled-up hours."""

    start: int
    end: int
    rolled: bool


class Timeline:
    """A range, cut where hours that are rolled up begin and end."""

    def __init__(self, start: int, end: int, rolled_hours: Iterable[int]) -> None:
        self._pieces = list(_pieces(start, end, rolled_hours))
        self._starts = [piece.start for piece in self._pieces]

    def at(self, moment: int, start: int, end: int) -> Piece:
        """Return the piece that holds a moment, as far as it lies between two others."""
        piece = self._pieces[bisect_right(self._starts, moment) - 1]
        return Piece(max(piece.start, start), min(piece.end, end), piece.rolled)

    def between(self, start: int, end: int) -> Iterator[Piece]:
        """Yield what lies between two moments, both included."""
        while start <= end:
            piece = self.at(start, start, end)
            yield piece
            start = piece.end + 1


def _pieces(start: int, end: int, rolled_hours: Iterable[int]) -> Iterator[Piece]:
    for first, last in _stretches(rolled_hours):
        rolled = Piece(max(start, first * HOUR_MS), min(end, (last + 1) * HOUR_MS - 1), True)
        if start < rolled.start:
            yield Piece(start, rolled.start - 1, False)
        yield rolled
        start = rolled.end + 1
    if start <= end:
        yield Piece(start, end, False)


def _stretches(hours: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Join hours, ascending, that follow on one another."""
    first = last = None
    for hour in hours:
        if last is not None and first is not None and hour != last + 1:
            yield first, last
            first = hour
        elif first is None:
            first = hour
        last = hour
    if first is not None and last is not None:
        yield first, last
