"""Blocking work, kept off the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def run_in(executor: Executor, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Run ``work`` in a thread of ``executor`` and return what it returns.

    A thread cannot be cancelled: who is cancelled meanwhile goes only when it is through, so that
    nobody else touches the same files before.
    """
    loop = asyncio.get_running_loop()
    running = loop.run_in_executor(executor, lambda: work(*given, **named))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        running.exception()  # nobody is left to be told
        raise
