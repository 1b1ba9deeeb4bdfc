"""Brokers and proxies as processes, and the links between them."""

import asyncio
import contextlib
from pathlib import Path

import aiohttp

from tests.support.broker import free_port
from tests.support.client import BrokerClient
from tests.support.process import ServiceProcess
from tests.support.toxic import ToxicLink

PROXIES = 2
LOOK_SECONDS = 0.1
ANSWER_SECONDS = 5.0
TOPIC = "t"
BROKER_OPTIONS = {
    "PARTITIONS_PER_TOPIC": "8",
    "VISIBILITY_TIMEOUT": "5s",
    "MAX_DELIVERIES": "1000",
    "HEARTBEAT": "1s",
    "SEGMENT_BYTES": "1MiB",
}
PROXY_OPTIONS = {
    "MEMBERSHIP_INTERVAL": "200ms",
    "REQUEST_TIMEOUT": "5s",
    "STREAM_IDLE_TIMEOUT": "5s",
    "HEARTBEAT": "1s",
}


class Fleet:
    """Owns every process and link; the proxies read its list of brokers from a file.

    Without links the proxies reach the brokers straight.
    """

    def __init__(self, directory: Path, brokers: int, linked: bool = True) -> None:
        self.brokers: dict[str, ServiceProcess] = {}
        self.links: dict[str, ToxicLink] = {}
        names = [f"proxy-{number}" for number in range(PROXIES)]
        self.proxies = {name: self._proxy(directory, name) for name in names}
        self._directory = directory
        self._list = directory / "brokers"
        self._listed: list[str] = []
        self._first = brokers
        self._linked = linked
        self._made = 0

    @property
    def proxy_urls(self) -> list[str]:
        """Where the proxies listen."""
        return [proxy.url for proxy in self.proxies.values()]

    async def start(self) -> None:
        """Start everything, and make the topic."""
        for _ in range(self._first):
            await self.add_broker()
        await asyncio.gather(*(proxy.start() for proxy in self.proxies.values()))
        async with BrokerClient(self.proxy_urls[0]) as client:
            made = await client.request("PUT", f"/topics/{TOPIC}", data=b'{"partitions": 8}')
            assert made.status == 200, made.body

    async def add_broker(self) -> str:
        """Start one more broker and list it."""
        name = f"broker-{self._made}"
        self._made += 1
        options = {"BROKER_NAME": name, **BROKER_OPTIONS}
        broker = ServiceProcess("broker", self._directory / name, free_port(), options)
        link = self.links[name] = ToxicLink(broker.url)
        self.brokers[name] = broker
        await link.open()
        await broker.start()
        self._write([*self._listed, name])
        return name

    async def remove_broker(self, name: str) -> None:
        """Drain a broker, take it off the list once it is empty, stop it when nobody uses it."""
        async with BrokerClient(self.brokers[name].url) as client:
            await client.request("POST", "/drain")
            while not (await client.request("GET", "/drain")).json["empty"]:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
        self._write([other for other in self._listed if other != name])
        for proxy in self.proxies.values():
            await self._until_let_go(proxy, name)
        await self.brokers.pop(name).terminate()
        await self.links.pop(name).shut()

    async def heal(self) -> None:
        """Start what is down; let go on what is paused."""
        for process in [*self.brokers.values(), *self.proxies.values()]:
            if process.alive:
                process.go_on()
            else:
                await process.start()

    async def end(self) -> None:
        """Leave no process behind."""
        for process in [*self.brokers.values(), *self.proxies.values()]:
            await process.kill()
        for link in self.links.values():
            await link.shut()

    def _proxy(self, directory: Path, name: str) -> ServiceProcess:
        options = {"BROKERS_FILE": str(directory / "brokers"), **PROXY_OPTIONS}
        return ServiceProcess("proxy", directory / name, free_port(), options)

    def _write(self, names: list[str]) -> None:
        self._listed = names
        new = self._list.with_suffix(".new")
        ways = self.links if self._linked else self.brokers
        new.write_text("\n".join(f"{name}={ways[name].url}" for name in names))
        new.replace(self._list)

    async def _until_let_go(self, proxy: ServiceProcess, name: str) -> None:
        """Ask again and again: the proxy itself may be down or paused meanwhile."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with BrokerClient(proxy.url) as client:
            while True:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    answer = await client.request("GET", "/status", timeout=timeout)
                    if name not in {row["broker"] for row in answer.json["brokers"]}:
                        return
                await asyncio.sleep(LOOK_SECONDS)
