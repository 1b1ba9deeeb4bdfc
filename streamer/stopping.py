"""Work that a stop may interrupt."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")


async def unless_stopping(
    stopping: asyncio.Event, work: Coroutine[Any, Any, Answer]
) -> Answer | None:
    """Return what ``work`` returns, or None when ``stopping`` came first and cancelled it."""
    task = asyncio.ensure_future(work)
    waiter = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        waiter.cancel()
        task.cancel()
