"""Waiting for a condition that has no event of its own."""

import asyncio
from collections.abc import Awaitable, Callable

LONGEST_SECONDS = 10.0
POLL_SECONDS = 0.002
ASK_AGAIN_SECONDS = 0.02  # whoever is asked has other work


async def until(condition: Callable[[], object], seconds: float = LONGEST_SECONDS) -> None:
    """Return once ``condition`` holds; raises TimeoutError when it never does."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  what is waited for tells nobody
            await asyncio.sleep(POLL_SECONDS)


async def until_told(
    ask: Callable[[], Awaitable[object]], seconds: float = LONGEST_SECONDS
) -> None:
    """Return once ``ask`` is answered with yes, by another process; raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await ask():  # noqa: ASYNC110  what is asked tells nobody by itself
            await asyncio.sleep(ASK_AGAIN_SECONDS)
