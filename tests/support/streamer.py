"""A streamer as a process that can be killed."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.broker import READY_POLL_SECONDS, START_SECONDS, broker_environment
from tests.support.client import BrokerClient
from tests.support.ports import free_port
from tests.support.warm import Process, start_module


class StreamerProcess:
    """``python -m streamer`` with everything it writes kept."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._output = directory / "streamer.log"
        self._environment = broker_environment(directory, port) | environment
        self._process: Process | None = None

    async def start(self) -> None:
        """Start it and return when it answers, or has ended."""
        self._process = await start_module(["streamer"], self._environment, self._output)
        async with asyncio.timeout(START_SECONDS):
            while not self.ended and await self.stats() is None:  # noqa: ASYNC110  it is a process
                await asyncio.sleep(READY_POLL_SECONDS)

    async def stats(self) -> dict[str, Any] | None:
        """What it says of itself; None while it does not answer."""
        try:
            async with BrokerClient(self.url) as client:
                found: dict[str, Any] = (await client.request("GET", "/stats")).json
                return found
        except aiohttp.ClientError:
            return None

    @property
    def ended(self) -> bool:
        """Whether it is not there."""
        return self._process is None or self._process.returncode is not None

    async def kill(self) -> None:
        """kill -9."""
        if self._process is not None and not self.ended:
            self._process.kill()
            await self._process.wait()

    async def terminate(self) -> int:
        """SIGTERM; return the exit code."""
        assert self._process is not None, "start it first"
        self._process.send_signal(signal.SIGTERM)
        return await self._process.wait()

    async def wait(self) -> int:
        """Return the exit code when it ends by itself."""
        assert self._process is not None, "start it first"
        return await self._process.wait()

    def output(self) -> str:
        """Everything it wrote, over all its starts."""
        return self._output.read_text()


@contextlib.asynccontextmanager
async def streamer_process(
    directory: Path, queue_url: str, **environment: str
) -> AsyncIterator[StreamerProcess]:
    """A streamer process, started; ``environment`` by option name."""
    process = StreamerProcess(directory, {"MSG_QUEUE_ADDR": queue_url, **environment})
    try:
        await process.start()
        yield process
    finally:
        await process.kill()
