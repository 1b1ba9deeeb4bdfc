"""Brokers for tests: one in the test's event loop, or one as a process that can be killed."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from broker.app import create_app
from broker.broker import Broker
from broker.options import BrokerOptions
from common.clock import Clock
from common.lifecycle import Lifecycle
from tests.support.client import TOKEN, BrokerClient
from tests.support.ports import free_port
from tests.support.serving import running
from tests.support.warm import Process, start_module

START_SECONDS = 20.0
READY_POLL_SECONDS = 0.02


def broker_options(data_dir: Path, **given: Any) -> BrokerOptions:
    """Options of a test broker; ``given`` by field name."""
    return BrokerOptions(data_dir=data_dir, service_token=SecretStr(TOKEN), **({"port": 0} | given))


@dataclass
class RunningBroker:
    """A broker in this event loop: its URL, a client with the token, and its insides."""

    url: str
    client: BrokerClient
    broker: Broker
    lifecycle: Lifecycle


@contextlib.asynccontextmanager
async def running_broker(
    data_dir: Path, clock: Clock | None = None, **given: Any
) -> AsyncIterator[RunningBroker]:
    """Serve a broker in this event loop; leaving stops it cleanly."""
    options = broker_options(data_dir, **given)
    lifecycle = Lifecycle()
    app = create_app(options, lifecycle, clock)
    async with running(app, options, lifecycle) as url, BrokerClient(url) as client:
        yield RunningBroker(url, client, app.state.broker, lifecycle)


class BrokerProcess:
    """``python -m broker`` on a data directory, with its stderr kept.

    ``prefix`` is a command that becomes the broker: prlimit, setpriv. ``log_dir`` is where stderr
    is kept, beside the data if it is not given.
    """

    def __init__(
        self,
        data_dir: Path,
        environment: dict[str, str],
        port: int,
        prefix: Sequence[str] = (),
        log_dir: Path | None = None,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._prefix = prefix
        self._errors = (log_dir or data_dir.parent) / f"{data_dir.name}-{port}.stderr"
        self._environment = broker_environment(data_dir, port) | environment
        self._process: Process | None = None

    async def start(self) -> None:
        """Start it and return at once."""
        self._process = await start_module(
            ["broker"], self._environment, self._errors, self._prefix
        )

    async def until_ready(self) -> None:
        """Return when it answers ready; raise when it ends or takes too long."""
        async with asyncio.timeout(START_SECONDS), BrokerClient(self.url) as client:
            while not await client.is_ready():
                if self.process.returncode is not None:
                    raise RuntimeError(f"the broker ended: {self.stderr()}")
                await asyncio.sleep(READY_POLL_SECONDS)

    async def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        await self.process.wait()

    async def terminate(self) -> int:
        """SIGTERM; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.wait()

    async def wait(self) -> int:
        """Return the exit code when it ends by itself."""
        return await self.process.wait()

    def stderr(self) -> str:
        """Everything it wrote to stderr, over all its starts."""
        return self._errors.read_text()

    @property
    def process(self) -> Process:
        """The process of the last start."""
        assert self._process is not None, "start it first"
        return self._process

    async def end(self) -> None:
        """Leave no process behind."""
        if self._process is not None and self._process.returncode is None:
            await self.kill()


@contextlib.asynccontextmanager
async def broker_process(
    data_dir: Path,
    port: int | None = None,
    prefix: Sequence[str] = (),
    log_dir: Path | None = None,
    environment: Mapping[str, str] | None = None,
    **named: str,
) -> AsyncIterator[BrokerProcess]:
    """A broker process, started and ready; ``environment`` or keywords by option name."""
    given = {**(environment or {}), **named}
    process = BrokerProcess(data_dir, given, port or free_port(), prefix, log_dir)
    try:
        await process.start()
        await process.until_ready()
        yield process
    finally:
        await process.end()


def broker_environment(data_dir: Path, port: int) -> dict[str, str]:
    """The environment of a broker process, clear of what the machine has set."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    ours = {"DATA_DIR": str(data_dir), "PORT": str(port), "SERVICE_TOKEN": TOKEN}
    return kept | ours | {"PYTHONPATH": str(Path(__file__).parents[2])}
