"""Holding a rate: of samples, or of the rows they were read from."""

from collections.abc import Iterator, Sequence

from common.clock import Clock
from common.models import Sample
from streamer.selection import points_of

STEP_SECONDS = 0.05  # what is let through at once, as time
CATCH_UP_SECONDS = 1.0  # how much of a delay is made up for


class Pacer:
    """Lets ``rate`` samples a second through, or rows with ``by_row``; 0 lets all through.

    What is due is added up from the first sample on, so that late wake-ups do not add up.
    """

    def __init__(self, rate: float, clock: Clock, by_row: bool = False) -> None:
        self._rate = rate
        self._clock = clock
        self._by_row = by_row
        self._due: float | None = None

    def slices(self, samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
        """Cut ``samples`` into what is let through at once."""
        if not self._by_row:
            size = max(1, int(self._rate * STEP_SECONDS)) if self._rate else max(1, len(samples))
            yield from (samples[at : at + size] for at in range(0, len(samples), size))
            return
        step = self._rate * STEP_SECONDS
        begin, weight = 0, 0
        for end, sample in enumerate(samples, 1):
            weight += len(sample.metrics)
            if weight >= step:
                yield samples[begin:end]
                begin, weight = end, 0
        if begin < len(samples):
            yield samples[begin:]

    def delay_seconds(self, samples: Sequence[Sample]) -> float:
        """Return how long these samples, which are to go then, must wait."""
        if not self._rate:
            return 0.0
        now = self._clock.monotonic()
        due = now if self._due is None else max(self._due, now - CATCH_UP_SECONDS)
        weight = points_of(samples) if self._by_row else len(samples)
        self._due = due + weight / self._rate
        return max(0.0, due - now)
