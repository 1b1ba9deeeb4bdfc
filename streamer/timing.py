"""Which time a sample is given: its own, the present, or its own moved to the present."""

from typing import Protocol

from common.clock import Clock
from common.models import Sample

MS_PER_SECOND = 1000
BETWEEN_PASSES_MS = 1000


class EventTime(Protocol):
    """Sets the time of samples on their way from the source."""

    stable: bool
    """True when the same source gives the same times after a restart."""

    def begin_pass(self) -> None:
        """The source begins from its start, for the first time or again."""

    def apply(self, samples: list[Sample]) -> None:
        """Set the samples' times in place."""


class KeepTime:
    """The source's own times."""

    stable = True

    def begin_pass(self) -> None:
        """Nothing changes."""

    def apply(self, samples: list[Sample]) -> None:
        """Leave the samples alone."""


class PresentTime:
    """The moment a sample is published, and above the GPU's newest, so that no two share one."""

    stable = False

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._newest: dict[str, int] = {}

    def begin_pass(self) -> None:
        """Nothing changes."""

    def apply(self, samples: list[Sample]) -> None:
        """Set the samples' times in place."""
        now = int(self._clock.wall() * MS_PER_SECOND)
        for sample in samples:
            gpu_id = sample.gpu.id
            sample.timestamp = max(now, self._newest.get(gpu_id, 0) + 1)
            self._newest[gpu_id] = sample.timestamp


class ShiftedTime:
    """The first sample of a pass is now, or behind the pass before; the spacing is kept."""

    stable = False

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._shift_ms: int | None = None
        self._newest = 0

    def begin_pass(self) -> None:
        """The next sample begins anew."""
        self._shift_ms = None

    def apply(self, samples: list[Sample]) -> None:
        """Set the samples' times in place."""
        if not samples:
            return
        if self._shift_ms is None:
            now = int(self._clock.wall() * MS_PER_SECOND)
            self._shift_ms = max(now, self._newest + BETWEEN_PASSES_MS) - samples[0].timestamp
        for sample in samples:
            sample.timestamp += self._shift_ms
        self._newest = max(self._newest, max(sample.timestamp for sample in samples))


def event_time(mode: str, clock: Clock) -> EventTime:
    """Return the one that EVENT_TIME names."""
    if mode == "now":
        return PresentTime(clock)
    return ShiftedTime(clock) if mode == "shift" else KeepTime()
