"""When a server that keeps no rows of GPUs is told who a GPU is."""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from common.models import Gpu, Sample

Line = TypeVar("Line")

HOUR_MS = 3_600_000
"""Retention drops whole shards, which begin and end at full hours: each that holds a sample of a
GPU must hold its identity."""
TELL_AGAIN_SECONDS = 60.0
"""How long another collector's older word on a GPU may stand beside this one's newer word."""
MAX_KNOWN = 100_000


class Known:
    """What was last heard of a GPU here: who it was, when, and up to when the server was told."""

    __slots__ = ("at", "first", "gpu", "told_at", "told_when")

    def __init__(self, gpu: Gpu, at: int, first: int) -> None:
        self.gpu = gpu
        self.at = at
        self.first = first
        self.told_at = -1
        self.told_when = 0.0

    def hear(self, gpu: Gpu, at: int, now: float) -> Iterator[tuple[Gpu, int]]:
        """Take in that a GPU was ``gpu`` at ``at``; yield what has to be told for it.

        Before another identity is told, this one is, with the last time it was seen: each field
        counts as known from the newest sample that had it.
        """
        if gpu != self.gpu:
            if self.told_at < self.at:
                yield self.gpu, self.at
            yield gpu, at
            if at >= self.at:
                self.gpu, self.at = gpu, at
            self.told_at, self.told_when = self.at, now
        else:
            self.at = max(self.at, at)
            if self._is_due(now):
                yield self.gpu, self.at
                self.told_at, self.told_when = self.at, now

    def _is_due(self, now: float) -> bool:
        if self.told_at // HOUR_MS != self.at // HOUR_MS:
            return True
        return self.told_at < self.at and now - self.told_when >= TELL_AGAIN_SECONDS


class Touch:
    """What one call brings of one GPU: its first time, and the identities with their latest."""

    __slots__ = ("first", "sightings")

    def __init__(self, first: int) -> None:
        self.first = first
        self.sightings: list[tuple[Gpu, int]] = []

    def see(self, gpu: Gpu, at: int) -> None:
        """Note that the GPU was seen so; a run of one identity is one sighting."""
        if at < self.first:
            self.first = at
        if self.sightings and self.sightings[-1][0] == gpu:
            at = max(at, self.sightings.pop()[1])
        self.sightings.append((gpu, at))


def gather(samples: Sequence[Sample]) -> dict[str, Touch]:
    """Sort what samples say of identities by GPU id."""
    touches: dict[str, Touch] = {}
    for sample in samples:
        gpu, at = sample.gpu, sample.timestamp
        gpu_id = gpu.uuid or gpu.id
        touch = touches.get(gpu_id)
        if touch is None:
            touch = touches[gpu_id] = Touch(at)
        touch.see(gpu, at)
    return touches


class Told(Generic[Line]):
    """What one writer has told a server of who its GPUs are.

    That it is remembered only saves telling it again. After anything went wrong it is forgotten,
    and told anew.
    """

    def __init__(
        self,
        first_told: Callable[[set[str]], dict[str, int]],
        line: Callable[[str, Gpu, int, int], Line],
        monotonic: Callable[[], float],
    ) -> None:
        """``first_told`` asks the server when GPUs were first seen, ``line`` makes what is told."""
        self._ask = first_told
        self._line = line
        self._monotonic = monotonic
        self._known: dict[str, Known] = {}
        self._first_told: dict[str, int] = {}

    def meet(self, touches: dict[str, Touch]) -> None:
        """Learn of GPUs that are new here when they were first seen, if anybody knows.

        What is answered of other GPUs than these is kept until they come.
        """
        if len(self._known) > MAX_KNOWN:
            self._known.clear()
        missing = touches.keys() - self._known.keys()
        unheard = missing - self._first_told.keys()
        if unheard:
            self._first_told |= self._ask(unheard)
        for gpu_id in missing:
            touch = touches[gpu_id]
            gpu, at = touch.sightings[0]
            first = min(touch.first, self._first_told.pop(gpu_id, touch.first))
            self._known[gpu_id] = Known(gpu, at, first)

    def tell(self, touches: dict[str, Touch]) -> Iterator[Line]:
        """Yield what has to be told for what was seen."""
        now = self._monotonic()
        for gpu_id, touch in touches.items():
            known = self._known[gpu_id]
            if touch.first < known.first:
                known.first, known.told_at = touch.first, -1
            for gpu, at in touch.sightings:
                for who, when in known.hear(gpu, at, now):
                    yield self._line(gpu_id, who, known.first, when)

    def forget(self, touches: dict[str, Touch]) -> None:
        """Nobody knows what of this has reached the server."""
        for gpu_id in touches:
            self._known.pop(gpu_id, None)
        self._first_told.clear()
