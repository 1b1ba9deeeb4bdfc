"""What the store refuses, found by writing the rest of a write again in parts.

One bad point among n costs about log2(n) writes: at each step one half is written, and when it is
taken the other half must hold the bad point; when it is not, the other half waits for the end.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple

from common.models import Sample

MOST_WRITES = 300
COARSE_SAMPLES = 32


class Piece(NamedTuple):
    """A sample of a write, or some of its metrics; ``at`` is the sample's place in it."""

    at: int
    sample: Sample


class Refused(NamedTuple):
    """What the store refuses, in its own words."""

    words: str
    pieces: list[Piece]


Pieces = list[Piece]
Write = Callable[[Sequence[Sample]], Awaitable[str | None]]
"""Writes until the store has taken all or refused something: then its words are returned."""


class Narrowing:
    """One refused write. Everything the store takes is stored, down to one metric of one sample.

    After ``MOST_WRITES`` it looks no closer than ``COARSE_SAMPLES``: of a store that refuses nearly
    everything, a part may then be refused for one bad point in it.
    """

    def __init__(self, write: Write) -> None:
        self.writes = 0
        self.refused: list[Refused] = []
        self._write = write

    async def run(self, samples: Sequence[Sample], words: str) -> list[Refused]:
        """Return what of a write is refused; all else is stored then."""
        parts = [Refused(words, [Piece(*each) for each in enumerate(samples)])]
        while parts:
            part = parts.pop()
            if self.writes >= MOST_WRITES:
                await self._coarsely(part)
                continue
            bad, rest = await self._isolate(part)
            for pieces in apart(rest, bad):
                why = await self._try(pieces)
                parts += [Refused(why, pieces)] if why is not None else []
        return self.refused

    async def _isolate(self, part: Refused) -> tuple[Piece, Pieces]:
        """Find one bad point of a refused part; return it, and what was not written meanwhile."""
        words, pieces = part
        rest: Pieces = []
        deduced = False
        while not is_point(pieces):
            left, right = halves(pieces)
            why = await self._try(left)
            deduced = why is None
            if why is None:
                pieces = right
            else:
                words, pieces = why, left
                rest += right
        own = await self._try(pieces) if deduced else words
        if own is not None:
            self.refused.append(Refused(own, pieces))
        return pieces[0], rest

    async def _coarsely(self, part: Refused) -> None:
        for first in range(0, len(part.pieces), COARSE_SAMPLES):
            pieces = part.pieces[first : first + COARSE_SAMPLES]
            if (why := await self._try(pieces)) is not None:
                self.refused.append(Refused(why, pieces))

    async def _try(self, pieces: Pieces) -> str | None:
        self.writes += 1
        return await self._write([piece.sample for piece in pieces])


def is_point(pieces: Pieces) -> bool:
    """Whether it cannot be halved."""
    return len(pieces) == 1 and len(pieces[0].sample.metrics) == 1


def halves(pieces: Pieces) -> tuple[Pieces, Pieces]:
    """Cut in two: the samples, or the metrics of the only one."""
    if len(pieces) > 1:
        middle = len(pieces) // 2
        return pieces[:middle], pieces[middle:]
    names = list(pieces[0].sample.metrics)
    middle = len(names) // 2
    return [only(pieces[0], names[:middle])], [only(pieces[0], names[middle:])]


def only(piece: Piece, names: Sequence[str]) -> Piece:
    """A piece with some of its metrics."""
    sample = piece.sample
    metrics = {name: sample.metrics[name] for name in names}
    return Piece(piece.at, Sample(sample.gpu, sample.timestamp, metrics))


def apart(pieces: Pieces, bad: Piece) -> Iterator[Pieces]:
    """What resembles a bad point, by its metric or its GPU, and what does not, each if any.

    A metric that the store knows as another type, or a GPU whose identity it does not take, is
    bad again and again, and must not keep the others waiting.
    """
    (metric,), gpu_id = bad.sample.metrics, bad.sample.gpu.id
    alike: Pieces = []
    others: Pieces = []
    for piece in pieces:
        if piece.sample.gpu.id == gpu_id:
            alike.append(piece)
            continue
        names = [name for name in piece.sample.metrics if name != metric]
        if len(names) == len(piece.sample.metrics):
            others.append(piece)
            continue
        alike.append(only(piece, [metric]))
        if names:
            others.append(only(piece, names))
    yield from (part for part in (others, alike) if part)
