"""Time as something that is handed in, so that tests own it."""

import asyncio
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
SECONDS_CHARS = len("2025-07-18T20:42:34")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
    return f"{moment.isoformat()[:SECONDS_CHARS]}.{milliseconds % 1000:03d}Z"


def from_rfc3339(text: str) -> int | None:
    """Milliseconds since 1970 UTC, a part of one rounded up; None for what is no such time."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    day, clock, fraction, zone = found.groups()
    try:
        since = datetime.fromisoformat(f"{day}T{clock}{zone.upper()}") - _EPOCH
    except ValueError:
        return None
    nanoseconds = int((fraction or ".0")[1:].ljust(9, "0"))
    return max(0, since // timedelta(milliseconds=1) - -nanoseconds // 1_000_000)
