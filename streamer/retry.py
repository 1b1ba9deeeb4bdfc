"""Asking again until the queue takes it."""

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from common import logs
from common.clock import Clock
from common.errors import TelemetryError
from common.retry import Backoff

log = logs.get("streamer.publish")

Answer = TypeVar("Answer")


class Retry:
    """Repeats what may be repeated, for ever, with exponential backoff and full jitter.

    ``problems`` is told while the queue is away, under one name for each thing that waits.
    """

    def __init__(self, clock: Clock, rng: random.Random, problems: dict[str, str]) -> None:
        self.retries = 0
        self._clock = clock
        self._rng = rng
        self._problems = problems

    async def call(self, name: str, act: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return what ``act`` returns; raises a TelemetryError that may not be repeated."""
        backoff = Backoff(self._clock, rng=self._rng)
        while True:
            try:
                answer = await act()
            except TelemetryError as error:
                if error.retry_after_seconds is None:
                    raise
                self._note(name, error)
                await backoff.wait(error.retry_after_seconds)
            else:
                if self._problems.pop(name, None) is not None:
                    log.info("queue takes again", what=name)
                return answer

    def _note(self, name: str, error: TelemetryError) -> None:
        self.retries += 1
        if name not in self._problems:
            log.warning("queue does not take", what=name, code=error.code, reason=error.message)
        self._problems[name] = f"{error.code}: {error.message}"
