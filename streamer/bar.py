"""How far it has come, on a terminal."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from common.clock import Clock

STEP_SECONDS = 0.25
SMOOTH_SECONDS = 3.0  # a rate follows what it was told with this time constant


class Rate:
    """A count a second, smoothed."""

    def __init__(self, now: float) -> None:
        self.per_second = 0.0
        self._at = now
        self._count = 0

    def tell(self, count: int, now: float) -> float:
        """Take the count as it is at ``now`` and return how fast it grows."""
        passed = now - self._at
        if passed > 0:
            weight = 1 - math.exp(-passed / SMOOTH_SECONDS)
            grown = max(0, count - self._count)  # a restart begins anew
            self.per_second += (grown / passed - self.per_second) * weight
            self._at, self._count = now, count
        return self.per_second


class Bar:
    """Rows read, points a second that the queue confirmed, and points that wait for it.

    A source without a size has no percentage. While something is in the way it says what: the bar
    shows what was read, and the lag how much of that the queue has not confirmed.
    """

    def __init__(
        self,
        stats: Callable[[], Mapping[str, Any]],
        problems: Mapping[str, str],
        clock: Clock,
        console: Console | None = None,
    ) -> None:
        self._stats = stats
        self._problems = problems
        self._clock = clock
        self._rate = Rate(clock.monotonic())
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[part]}"),
            TextColumn("{task.fields[numbers]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[problem]}"),
            console=console or Console(stderr=True),
            redirect_stdout=False,
        )
        self._task = self._progress.add_task(
            "starting", total=None, part="", numbers="", problem=""
        )

    async def show_for_ever(self) -> None:
        """Draw until cancelled; what is logged meanwhile goes above."""
        with self._progress:
            try:
                while True:
                    self.update()
                    await self._clock.sleep(STEP_SECONDS)
            finally:
                self.update()

    def update(self) -> None:
        """Look at the numbers once."""
        stats = self._stats()
        rate = self._rate.tell(stats["points_published"], self._clock.monotonic())
        total = stats["bytes_total"]
        part = min(1.0, stats["bytes_read"] / total) if total else 0.0
        self._progress.update(
            self._task,
            description=self._describe(stats),
            problem=next(map(brief, self._problems.items()), ""),
            total=total or None,
            completed=stats["bytes_read"],
            part=f"{part:4.0%}" if total else "",
            numbers=numbers(stats, rate),
        )

    def _describe(self, stats: Mapping[str, Any]) -> str:
        if self._problems:
            return "waiting"
        return "published" if stats["finished"] else "streaming"


def brief(problem: tuple[str, str]) -> str:
    """What is in the way, and why in one word."""
    name, why = problem
    return f"{name}: {why.partition(':')[0]}"


def numbers(stats: Mapping[str, Any], rate: float) -> str:
    """Rows, points a second and lag, as one reads them."""
    return f"{stats['rows_read']:,} rows  {rate:,.0f} points/s  lag {stats['lag_points']:,}"
