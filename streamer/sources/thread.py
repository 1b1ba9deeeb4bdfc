"""The one thread in which a source does its file work."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Answer = TypeVar("Answer")


class ReaderThread:
    """Does one thing after the other, so that it owns the files."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="reader")

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """Do ``work`` in the thread and return its answer."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Take no more work."""
        self._pool.shutdown(wait=False)
