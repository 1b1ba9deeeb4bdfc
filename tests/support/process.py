"""A service as a process that can be killed, paused and started again."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support import still
from tests.support.broker import READY_POLL_SECONDS, START_SECONDS, broker_environment
from tests.support.client import BrokerClient
from tests.support.warm import Process, start_module


class ServiceProcess:
    """``python -m <service>`` on a port that it keeps, with everything it writes kept.

    ``prefix`` is a command that runs it, in another network for one; ``host`` where it is then.
    """

    def __init__(
        self,
        service: str,
        data_dir: Path,
        port: int,
        environment: Mapping[str, str],
        host: str = "127.0.0.1",
        prefix: Sequence[str] = (),
    ) -> None:
        self.url = f"http://{host}:{port}"
        self._prefix = prefix
        self.log_path = data_dir.with_name(f"{data_dir.name}.log")
        self._service = service
        self._environment = broker_environment(data_dir, port) | dict(environment)
        self._process: Process | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs, or is paused."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it and return when it is ready."""
        self._process = await start_module(
            [self._service], self._environment, self.log_path, self._prefix
        )
        async with asyncio.timeout(START_SECONDS), BrokerClient(self.url) as client:
            while not await client.is_ready():
                if not self.alive:
                    raise RuntimeError(f"{self._service} ended; see {self.log_path}")
                await asyncio.sleep(READY_POLL_SECONDS)

    async def kill(self) -> None:
        """kill -9."""
        if self._process is not None and self.alive:
            self._process.kill()
            await self._process.wait()

    async def terminate(self) -> int:
        """SIGTERM; return the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return await self._process.wait()

    def pause(self) -> None:
        """SIGSTOP."""
        if self._process is not None and self.alive:
            still.stop(self._process.pid)

    def go_on(self) -> None:
        """SIGCONT."""
        if self._process is not None and self.alive:
            self._process.send_signal(signal.SIGCONT)
