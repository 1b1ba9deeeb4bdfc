"""A collector as a process that can be killed."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.support import still
from tests.support.broker import READY_POLL_SECONDS, START_SECONDS, broker_environment
from tests.support.client import BrokerClient
from tests.support.ports import free_port
from tests.support.warm import Process, start_module


class CollectorProcess:
    """``python -m collector`` on a directory, with everything it writes kept."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.sqlite_path = directory / "points.sqlite"
        self._output = directory / "collector.log"
        self._environment = broker_environment(directory / "collector", port) | {
            "SQLITE_PATH": str(self.sqlite_path),
            **environment,
        }
        self._process: Process | None = None

    async def run(self, *module: str) -> int:
        """Run another module in its place until that ends; return the exit code."""
        await self._run(*module)
        assert self._process is not None
        return await self._process.wait()

    async def start(self) -> None:
        """Start it and return when it is ready."""
        await self._run("collector")
        assert self._process is not None
        async with asyncio.timeout(START_SECONDS), BrokerClient(self.url) as client:
            while not await client.is_ready():
                if self._process.returncode is not None:
                    raise RuntimeError(f"the collector ended; see {self._output}")
                await asyncio.sleep(READY_POLL_SECONDS)

    def pause(self) -> None:
        """SIGSTOP."""
        assert self._process is not None
        still.stop(self._process.pid)

    def go_on(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def _run(self, *module: str) -> None:
        self._process = await start_module(module, self._environment, self._output)

    async def kill(self) -> None:
        """kill -9."""
        await self._end(signal.SIGKILL)

    async def terminate(self) -> int:
        """SIGTERM; return the exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        if self._process is None or self._process.returncode is not None:
            return 0
        self._process.send_signal(number)
        return await self._process.wait()

    async def stats(self) -> Any:
        """``GET /stats``."""
        async with BrokerClient(self.url, token=None) as client:
            return (await client.request("GET", "/stats")).json

    def output(self) -> str:
        """Everything it wrote, over all its starts."""
        return self._output.read_text()


@contextlib.asynccontextmanager
async def collector_process(
    directory: Path, queue_url: str, **environment: str
) -> AsyncIterator[CollectorProcess]:
    """A collector process, started and ready; ``environment`` by option name."""
    given = {"MSG_QUEUE_ADDR": queue_url, "FLUSH_INTERVAL": "10ms", **environment}
    process = CollectorProcess(directory, given)
    try:
        await process.start()
        yield process
    finally:
        await process.kill()
