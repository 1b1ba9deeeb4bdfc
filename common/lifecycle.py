"""One process's life: what runs in it, whether it is stopping, why it is not ready."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from common import logs

log = logs.get("lifecycle")

EXIT_TASK_DIED = 1


class Lifecycle:
    """Owns the background tasks of a process and its wish to stop.

    A task that dies makes the process unready; it is never lost silently. ``cut`` drops the
    connection of a client (``scope["client"]``) that does not read; the server says how. ``facts``
    are what ``GET /ready`` says besides.
    """

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.exit_code = 0
        self.problems: dict[str, str] = {}
        self.facts: dict[str, bool] = {}
        self.cut: Callable[[object], None] = lambda client: None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._on_stop: list[Callable[[], None]] = []

    def spawn(
        self, name: str, work: Coroutine[Any, Any, None], vital: bool = False
    ) -> asyncio.Task[None]:
        """Run ``work`` in the background under a name, watched.

        When ``vital`` work fails the process stops, so that whoever watches it starts it anew.
        """
        task = asyncio.create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._ended(name, done, vital))
        return task

    def has(self, name: str) -> bool:
        """Whether a task of this name runs."""
        return name in self._tasks

    def on_stop(self, act: Callable[[], None]) -> None:
        """Call ``act`` once, as soon as the process is to stop."""
        self._on_stop.append(act)

    def stop(self, exit_code: int = 0) -> None:
        """Begin the stop; the first exit code stands."""
        if self.stopping.is_set():
            return
        self.exit_code = exit_code
        self.stopping.set()
        for act in self._on_stop:
            act()

    async def cancel_tasks(self) -> None:
        """End every background task and wait for it."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def not_ready_reasons(self) -> list[str]:
        """Say why the process must not be sent work; an empty list means it may."""
        reasons = [f"{name}: {problem}" for name, problem in self.problems.items()]
        return [*reasons, "stopping"] if self.stopping.is_set() else reasons

    def _ended(self, name: str, task: asyncio.Task[None], vital: bool) -> None:
        if self._tasks.get(name) is task:
            del self._tasks[name]
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.problems[name] = f"died: {error!r}"
            log.error("task died", task=name, vital=vital, exc_info=error)
            if vital:
                self.stop(EXIT_TASK_DIED)
