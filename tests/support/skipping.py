"""An event loop whose time can be set forward: hours of silence in seconds."""

import asyncio
from collections.abc import Coroutine
from typing import Any

SETTLE_SECONDS = 0.002


class SkippingLoop(asyncio.SelectorEventLoop):
    """Real sockets, and timers that come due when time is skipped."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0

    def time(self) -> float:
        """See ``asyncio.AbstractEventLoop``."""
        return super().time() + self.skipped


async def skip(seconds: float, step_seconds: float) -> None:
    """Let time pass in steps, after each of which what came due gets to run."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SkippingLoop)
    for _ in range(int(seconds / step_seconds)):
        loop.skipped += step_seconds
        await asyncio.sleep(SETTLE_SECONDS)


def run_skipping(work: Coroutine[Any, Any, None]) -> None:
    """Run a test in such a loop."""
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        runner.run(work)
