"""The contract on our own brokers, behind a proxy."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from common.queue.address import QueueAddress
from tests.queue.contract import Contract, client, topic
from tests.support.broker import broker_environment
from tests.support.client import TOKEN, BrokerClient
from tests.support.ports import free_port

START_SECONDS = 30.0
POLL_SECONDS = 0.02
MAX_BODY = 256 << 10

__all__ = ["client", "topic"]


class OwnBrokers:
    """One broker and a proxy, each a process; the broker is what is killed."""

    name = "own"
    not_given: Mapping[str, str] = {}
    partitions = 4
    visibility_seconds = 3.0
    max_deliveries = 3
    too_large = MAX_BODY + 1

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ports = {"broker": free_port(), "proxy": free_port()}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def address(self) -> QueueAddress:
        """See ``Engine``."""
        return QueueAddress(self._url("proxy"), SecretStr(TOKEN))

    def hasty_address(self) -> QueueAddress:
        """See ``Engine``."""
        return self.address()

    def wrong_address(self) -> QueueAddress:
        """See ``Engine``."""
        return QueueAddress(f"http://127.0.0.1:{free_port()}", SecretStr(TOKEN))

    def wrong_credentials(self) -> QueueAddress:
        """See ``Engine``."""
        return QueueAddress(self._url("proxy"), SecretStr("wrong-password"))

    async def grow(self, topic: str, partitions: int) -> None:
        """See ``Engine``."""
        async with BrokerClient(self._url("proxy")) as client:
            wish = {"partitions": partitions}
            assert (await client.request("PUT", f"/topics/{topic}", json=wish)).status == 200

    def start(self) -> None:
        """See ``Engine``."""
        self._run("broker", VISIBILITY_TIMEOUT="3s", MAX_DELIVERIES="3", MAX_BODY_BYTES="256KiB")

    def start_proxy(self) -> None:
        """Once, behind the broker."""
        self._run("proxy", BROKERS=f"broker-0={self._url('broker')}", PROBE_INTERVAL="100ms")

    def kill(self) -> None:
        """See ``Engine``."""
        self._end("broker")

    def end(self) -> None:
        """Leave nothing behind."""
        for name in list(self._processes):
            self._end(name)

    def _url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}"

    def _run(self, name: str, **given: str) -> None:
        environment = broker_environment(self._directory / name, self._ports[name]) | given
        with (self._directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", name], env=environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._ready(name):
            assert self._processes[name].poll() is None, f"{name} ended"
            assert time.monotonic() < deadline, f"{name} is not ready"
            time.sleep(POLL_SECONDS)

    def _ready(self, name: str) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url(name)}/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _end(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnBrokers]:
    found = OwnBrokers(tmp_path_factory.mktemp("own"))
    try:
        found.start()
        found.start_proxy()
        yield found
    finally:
        found.end()


class TestOwnBrokers(Contract):
    """See ``Contract``."""
