"""Time as something that is handed in, so that tests own it."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for people, monotonic time for deadlines, and a way to wait."""

    def wall(self) -> float:
        """Seconds since 1970 UTC."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never steps back."""

    async def sleep(self, seconds: float) -> None:
        """Return when at least ``seconds`` have passed."""


class SystemClock:
    """The machine's own clocks."""

    def wall(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def to_rfc3339(milliseconds: int) -> str:
    """Format milliseconds since 1970 UTC, e.g. ``2025-07-18T20:42:34.000Z``."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"
