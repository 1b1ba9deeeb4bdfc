"""Waiting for a condition that has no event of its own."""

import asyncio
from collections.abc import Callable

LONGEST_SECONDS = 10.0
POLL_SECONDS = 0.002


async def until(condition: Callable[[], object]) -> None:
    """Return once ``condition`` holds; raises TimeoutError when it never does."""
    async with asyncio.timeout(LONGEST_SECONDS):
        while not condition():  # noqa: ASYNC110  what is waited for tells nobody
            await asyncio.sleep(POLL_SECONDS)
