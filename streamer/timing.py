"""Which time a sample is given: its own, the present, or its own moved to the present.

A time that is not the source's own is decided once. Who wants to go on after a crash notes each
decision before the samples it is for are sent, and tells them again at the next start: the same
sample then has the same time, and is the same point.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from common.clock import Clock
from common.models import Sample

MS_PER_SECOND = 1000
BETWEEN_PASSES_MS = 1000


class Decision(NamedTuple):
    """What was decided for ``samples`` from number ``first`` on: a time or a shift, in ms.

    Samples are numbered over all passes. 0 of them are all to the end of the pass.
    """

    first: int
    samples: int
    value: int


class EventTime(Protocol):
    """Sets the time of samples on their way from the source."""

    stable: bool
    """True when the same source gives the same times after a restart."""

    @property
    def settled(self) -> bool:
        """Whether ``state`` says all: False within what one decision told is for."""

    def begin_pass(self) -> None:
        """The source begins from its start, for the first time or again."""

    def apply(self, samples: Sequence[Sample], first: int) -> Decision | None:
        """Set the times of samples from number ``first`` on, in place; say what was decided."""

    def state(self) -> dict[str, int]:
        """What the times of the samples that follow depend on."""

    def resume(self, state: dict[str, int], told: Iterable[Decision]) -> None:
        """Go on from a ``state``, and decide again what is ``told``."""


class KeepTime:
    """The source's own times."""

    stable = True
    settled = True

    def begin_pass(self) -> None:
        """See ``EventTime``."""

    def apply(self, samples: Sequence[Sample], first: int) -> Decision | None:
        """Leave the samples alone."""

    def state(self) -> dict[str, int]:
        """See ``EventTime``."""
        return {}

    def resume(self, state: dict[str, int], told: Iterable[Decision]) -> None:
        """See ``EventTime``."""


class PresentTime:
    """The moment samples are published, and later for each that a GPU has in it.

    Each decision is a moment after every time given before, so no GPU has two samples of one time.
    """

    stable = False

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._newest = 0
        self._moment = 0
        self._given: dict[str, int] = {}
        self._told: deque[Decision] = deque()
        self._half_used = False

    @property
    def settled(self) -> bool:
        """See ``EventTime``."""
        return not self._half_used

    def begin_pass(self) -> None:
        """See ``EventTime``."""

    def apply(self, samples: Sequence[Sample], first: int) -> Decision | None:
        """See ``EventTime``."""
        at = self._apply_told(samples, first)
        if at == len(samples):
            return None
        now = int(self._clock.wall() * MS_PER_SECOND)
        self._begin(max(now, self._newest + 1))
        self._stamp(samples[at:])
        return Decision(first + at, len(samples) - at, self._moment)

    def state(self) -> dict[str, int]:
        """See ``EventTime``."""
        return {"newest": self._newest}

    def resume(self, state: dict[str, int], told: Iterable[Decision]) -> None:
        """See ``EventTime``."""
        self._newest = state.get("newest", 0)
        self._told = deque(told)

    def _apply_told(self, samples: Sequence[Sample], first: int) -> int:
        """Use the decisions told and return how many samples they were for."""
        at = 0
        while self._told and at < len(samples):
            told = self._told[0]
            if told.first == first + at:
                self._begin(told.value)
            end = min(told.first + told.samples - first, len(samples))
            self._stamp(samples[at:end])
            at = end
            self._half_used = first + at < told.first + told.samples
            if not self._half_used:
                self._told.popleft()
        return at

    def _begin(self, moment: int) -> None:
        self._moment = moment
        self._given.clear()

    def _stamp(self, samples: Sequence[Sample]) -> None:
        given = self._given
        for sample in samples:
            gpu_id = sample.gpu.id
            before = given.get(gpu_id, 0)
            given[gpu_id] = before + 1
            sample.timestamp = self._moment + before
        self._newest = max([self._newest, *(sample.timestamp for sample in samples)])


class ShiftedTime:
    """The first sample of a pass is now, or behind the pass before; the spacing is kept."""

    stable = False
    settled = True  # what is told is used by its number alone

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._shift_ms: int | None = None
        self._newest = 0
        self._told: deque[Decision] = deque()

    def begin_pass(self) -> None:
        """See ``EventTime``."""
        self._shift_ms = None

    def apply(self, samples: Sequence[Sample], first: int) -> Decision | None:
        """See ``EventTime``."""
        if not samples:
            return None
        decided = None
        if self._shift_ms is None and not self._use_told(first):
            self._shift_ms = self._decide(samples[0])
            decided = Decision(first, 0, self._shift_ms)
        shift_ms = self._shift_ms or 0
        for sample in samples:
            sample.timestamp += shift_ms
        self._newest = max(self._newest, max(sample.timestamp for sample in samples))
        return decided

    def state(self) -> dict[str, int]:
        """See ``EventTime``."""
        shift = {} if self._shift_ms is None else {"shift": self._shift_ms}
        return {"newest": self._newest, **shift}

    def resume(self, state: dict[str, int], told: Iterable[Decision]) -> None:
        """See ``EventTime``."""
        self._newest = state.get("newest", 0)
        self._shift_ms = state.get("shift")
        self._told = deque(told)

    def _use_told(self, first: int) -> bool:
        if not self._told or self._told[0].first != first:
            return False
        self._shift_ms = self._told.popleft().value
        return True

    def _decide(self, sample: Sample) -> int:
        now = int(self._clock.wall() * MS_PER_SECOND)
        return max(now, self._newest + BETWEEN_PASSES_MS) - sample.timestamp


def event_time(mode: str, clock: Clock) -> EventTime:
    """Return the one that EVENT_TIME names."""
    if mode == "now":
        return PresentTime(clock)
    return ShiftedTime(clock) if mode == "shift" else KeepTime()
