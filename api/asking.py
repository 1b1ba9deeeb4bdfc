"""Asking the store, which blocks, from the event loop, which must not."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from common.errors import Overloaded, StoreUnavailable
from common.storage.base import Store

T = TypeVar("T")


class Asking:
    """Puts questions to a store in threads of their own, bounded in number and in time."""

    def __init__(
        self, store: Store, *, threads: int, waiting: int, timeout_seconds: float, max_limit: int
    ) -> None:
        self.store = store
        self.max_limit = max_limit
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="store")
        self._waiting = waiting
        self._timeout_seconds = timeout_seconds
        self._under_way = 0

    async def __call__(self, question: Callable[[Store], T]) -> T:
        """Return the store's answer.

        Raises Overloaded when too many questions wait, StoreUnavailable when the store fails
        or does not answer in time.
        """
        if self._under_way >= self._waiting:
            raise Overloaded(f"{self._waiting} questions are waiting for the store")
        self._under_way += 1
        try:
            async with asyncio.timeout(self._timeout_seconds):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._pool, question, self.store)
        except TimeoutError as error:
            limit = self._timeout_seconds
            raise StoreUnavailable(f"the store did not answer within {limit:g} s") from error
        finally:
            self._under_way -= 1

    async def problem(self) -> str | None:
        """Say why the store cannot be asked, or None when it can."""
        try:
            await self(lambda store: store.check())
        except StoreUnavailable as error:
            return error.message
        return None

    def close(self) -> None:
        """Let running questions end, drop the waiting ones, close the store."""
        self._pool.shutdown(cancel_futures=True)
        self.store.close()


async def asking(request: Request) -> Asking:
    """The app's way to its store."""
    found: Asking = request.app.state.asking
    return found


Ask = Annotated[Asking, Depends(asking)]
