"""The exports under way: not too many, and their pages by turns."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.asking import Asking
from common.errors import Overloaded
from common.storage.base import Store

T = TypeVar("T")


class Exports:
    """Bounds exports in number, and reads ``at_once`` of their pages at the same time.

    An export holds one page until its client has taken it: their number bounds the memory. A page
    that waits for its turn is no question that waits: whoever asks for a little goes first.
    """

    def __init__(self, asking: Asking, most: int, at_once: int) -> None:
        self._asking = asking
        self._most = most
        self._turns = asyncio.Semaphore(at_once)
        self._under_way = 0

    def __len__(self) -> int:
        return self._under_way

    def begin(self) -> None:
        """Count one more; raises Overloaded."""
        if self._under_way >= self._most:
            raise Overloaded(f"{self._most} exports are under way")
        self._under_way += 1

    def end(self) -> None:
        """One is over, however it ended."""
        self._under_way -= 1

    async def page(self, question: Callable[[Store], T]) -> T:
        """Return the store's answer when it is this page's turn; raises as ``Asking`` does."""
        async with self._turns:
            return await self._asking(question)


class ExportResponse(StreamingResponse):
    """The answer of an export that was begun, which it ends."""

    def __init__(self, exports: Exports, *content: Any, **given: Any) -> None:
        super().__init__(*content, **given)
        self._exports = exports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._exports.end()


async def exports(request: Request) -> Exports:
    """The app's exports."""
    found: Exports = request.app.state.exports
    return found


AllExports = Annotated[Exports, Depends(exports)]
