"""Blocking work whose asker goes before it is done."""

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from common.threads import run_in


async def test_who_is_cancelled_goes_when_it_is_through_and_its_failure_is_nobodys() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait()
        raise OSError("the disk is read-only")

    with ThreadPoolExecutor(1) as pool:
        asking = asyncio.create_task(run_in(pool, work))
        await asyncio.to_thread(begun.wait)
        asking.cancel()
        await asyncio.sleep(0.01)
        assert not asking.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await asking
    del asking
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
