"""Following a file on its way into the store."""

import asyncio
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli.books import Books, Sent, close_books, collector_rejects, read_summary
from cli.stack import Stack
from cli.supervisor import StackError
from streamer.bar import Rate, numbers

POLL_SECONDS = 0.25
LINE_SECONDS = 10.0


class Follower:
    """Watches one feed: a bar on a terminal, a line each ten seconds elsewhere."""

    def __init__(self, stack: Stack, console: Console) -> None:
        self._stack = stack
        self._console = console
        self._began = time.monotonic()
        self._line_due = self._began + LINE_SECONDS
        self._rate = Rate(self._began)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[numbers]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("reading", total=1.0, numbers="")

    async def follow(self) -> Books:
        """Start the streamer, return once its last point is stored, with the books."""
        plan = self._stack.plan
        plan.summary_path.unlink(missing_ok=True)
        await self._stack.child("streamer").start()
        with self._progress:
            sent = await self._until_read()
            rejected = await self._until_stored()
        seconds = time.monotonic() - self._began
        return await asyncio.to_thread(close_books, sent, self._stack.store, rejected, seconds)

    async def _until_read(self) -> Sent:
        streamer = self._stack.child("streamer")
        while not streamer.finished.is_set():
            stats = await self._stack.stats("streamer")
            if stats is not None:
                self._show_reading(stats)
            await asyncio.sleep(POLL_SECONDS)
        if streamer.exit_code != 0:
            raise StackError(f"the streamer could not go on; see {streamer.log_path}")
        return read_summary(self._stack.plan.summary_path)

    async def _until_stored(self) -> dict[str, int]:
        while True:
            left = await self._stack.undelivered()
            stats = await self._stack.stats("collector")
            if left == 0 and stats is not None and stats["spool_messages"] == 0:
                return collector_rejects(stats)
            self._show_storing(left, stats)
            await asyncio.sleep(POLL_SECONDS)

    def _show_reading(self, stats: dict[str, Any]) -> None:
        total = stats["bytes_total"] or 1
        rate = self._rate.tell(stats["points_published"], time.monotonic())
        self._show("reading", stats["bytes_read"] / total, numbers(stats, rate))

    def _show_storing(self, left: int | None, stats: dict[str, Any] | None) -> None:
        waiting = "?" if left is None else f"{left:,}"
        spooled = f"{stats['spool_messages']:,}" if stats else "?"
        self._show("storing", 1.0, f"{waiting} messages queued, {spooled} spooled")

    def _show(self, what: str, part: float, text: str) -> None:
        self._progress.update(self._task, description=what, completed=part, numbers=text)
        if not self._console.is_terminal and time.monotonic() >= self._line_due:
            self._line_due += LINE_SECONDS
            self._console.print(f"{what}: {text}")


def file_feed(csv: str, summary: str) -> dict[str, str]:
    """A streamer that reads a file once, keeps its times and ends."""
    return {
        "CSV_PATH": csv,
        "EXIT_WHEN_DONE": "true",
        "EVENT_TIME": "keep",
        "SUMMARY_FILE": summary,
    }
