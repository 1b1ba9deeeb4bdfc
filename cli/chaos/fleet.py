"""Every process of a run, and the links between proxies and brokers."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from cli.chaos.link import Link
from cli.chaos.plan import LATE_GROUP, RAW_TOPIC, ChaosPlan, Settings
from cli.chaos.process import ServiceProcess
from cli.ports import lasting_ports
from cli.secrets import ensure_secrets
from cli.stack import GROUP, TOPIC, base_environment
from cli.supervisor import StackError

LOOK_SECONDS = 0.1
ANSWER_SECONDS = 5.0
TRIES = 12
AWAY = (aiohttp.ClientError, TimeoutError, ConnectionError)


class Fleet:
    """Owns every process and link; the proxies read the list of brokers from a file.

    Without links the proxies reach the brokers straight.
    """

    def __init__(
        self, plan: ChaosPlan, settings: Settings, directory: Path, linked: bool = True
    ) -> None:
        self.directory = directory
        self.settings = settings
        self.csv = directory / "export.csv"
        self.store_path = directory / "telemetry.db"
        self.brokers: dict[str, ServiceProcess] = {}
        self.links: dict[str, Link] = {}
        self._plan = plan
        self._linked = linked
        self._list = directory / "brokers"
        self._listed: list[str] = []
        self._made = 0
        self._ports = lasting_ports()
        directory.mkdir(parents=True, exist_ok=True)
        token = ensure_secrets(directory / "secrets").service_token
        self.token = token.read_text(encoding="utf-8").strip()
        self._environment = base_environment(ensure_secrets(directory / "secrets"))
        self.proxies = {f"proxy-{n}": self._proxy(f"proxy-{n}") for n in range(plan.proxies)}
        self.collectors = {
            f"collector-{n}": self._collector(n, options)
            for n, options in enumerate(settings.collectors)
        }
        self.streamer = self._streamer()

    @property
    def proxy_urls(self) -> list[str]:
        """Where the proxies listen."""
        return [proxy.url for proxy in self.proxies.values()]

    def all(self) -> list[ServiceProcess]:
        """Every process there is now, those that are written to first."""
        feeding = [*self.proxies.values(), *self.collectors.values(), self.streamer]
        return [*self.brokers.values(), *feeding]

    def named(self, name: str) -> ServiceProcess:
        """One process."""
        return next(process for process in self.all() if process.name == name)

    @property
    def listed(self) -> dict[str, ServiceProcess]:
        """The brokers that the proxies are told, by name; each has been started."""
        return {name: self.brokers[name] for name in self._listed}

    def is_listed(self, broker: str) -> bool:
        """Whether a broker is one of those that the proxies are told."""
        return broker in self._listed

    async def start(self) -> None:
        """Start everything."""
        await self.start_queue()
        await asyncio.gather(*(collector.start() for collector in self.collectors.values()))
        await self.streamer.start()

    async def start_queue(self) -> None:
        """Start brokers and proxies."""
        for _ in range(self._plan.brokers):
            await self.add_broker()
        await asyncio.gather(*(proxy.start() for proxy in self.proxies.values()))
        await asyncio.gather(*(proxy.until_ready() for proxy in self.proxies.values()))

    async def add_broker(self) -> str:
        """Start one more broker and list it."""
        name = f"broker-{self._made}"
        self._made += 1
        environment = {"BROKER_NAME": name, **self.settings.broker}
        broker = self._process(name, "broker", environment)
        link = self.links[name] = Link(next(self._ports), broker.port)
        self.brokers[name] = broker
        await link.open()
        await broker.start()
        await broker.until_ready()
        await self._prepare(broker.url)
        self._write([*self._listed, name])
        return name

    async def _prepare(self, url: str) -> None:
        """Make the topics before anybody wants them, and the group that will come late."""
        for topic in (TOPIC, RAW_TOPIC):
            await self._insist(
                "PUT", f"{url}/topics/{topic}", {"partitions": self.settings.partitions}
            )
        await self._insist("POST", f"{url}/groups/{LATE_GROUP}/seek?topic={RAW_TOPIC}&to=earliest")

    async def remove_broker(self, name: str) -> None:
        """Drain a broker, take it off the list once it is empty, stop it when nobody uses it."""
        url = self.brokers[name].url
        await self._insist("POST", f"{url}/drain")
        while not (await self._insist("GET", f"{url}/drain"))["empty"]:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        self._write([other for other in self._listed if other != name])
        for proxy in self.proxies.values():
            await self._until_let_go(proxy, name)
        broker = self.brokers.pop(name)
        await broker.terminate()
        await self.links.pop(name).shut()
        if broker.complaints:
            raise StackError("; ".join(broker.complaints))

    async def heal(self) -> None:
        """Start what is down, let go on what is paused, take every hindrance away."""
        for link in self.links.values():
            link.let_flow()
        for process in self.all():
            process.disk.calm()
            process.allow_file_bytes(-1)
            process.go_on()
            if not process.alive:
                await process.start()
        await asyncio.gather(*(process.until_ready() for process in self.all()))

    async def end(self) -> None:
        """Leave no process behind."""
        for process in self.all():
            await process.kill()
        for link in self.links.values():
            await link.shut()

    def _process(self, name: str, service: str, environment: Mapping[str, str]) -> ServiceProcess:
        given = {**self._environment, **environment}
        return ServiceProcess(
            name, service, self.directory, next(self._ports), given, self._plan.child
        )

    def _proxy(self, name: str) -> ServiceProcess:
        own = {"BROKERS_FILE": str(self._list), **self.settings.proxy}
        return self._process(name, "proxy", own)

    def _collector(self, number: int, options: Mapping[str, str]) -> ServiceProcess:
        name = f"collector-{number}"
        own = {
            "MSG_QUEUE_ADDR": self.proxy_urls[number % len(self.proxies)],
            "CONSUMER_GROUP": GROUP,
            "INSTANCE_ID": name,
            "SQLITE_PATH": str(self.store_path),
        }
        return self._process(name, "collector", {**own, **options})

    def _streamer(self) -> ServiceProcess:
        own = {
            "MSG_QUEUE_ADDR": self.proxy_urls[0],
            "CSV_PATH": str(self.csv),
            "CHECKPOINT_FILE": str(self.directory / "checkpoint"),
        }
        return self._process("streamer", "streamer", {**own, **self.settings.streamer})

    def _write(self, names: list[str]) -> None:
        self._listed = names
        new = self._list.with_suffix(".new")
        ways: Mapping[str, Link | ServiceProcess] = self.links if self._linked else self.brokers
        new.write_text("\n".join(f"{name}={ways[name].url}" for name in names))
        new.replace(self._list)

    async def _until_let_go(self, proxy: ServiceProcess, name: str) -> None:
        """Ask again and again: the proxy itself may be down or paused meanwhile."""
        while True:
            status = await self.ask(f"{proxy.url}/status")
            if status is not None and name not in {row["broker"] for row in status["brokers"]}:
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def ask(self, url: str) -> dict[str, Any] | None:
        """What a GET is answered, None while it is not."""
        try:
            return await self._ask("GET", url)
        except (StackError, *AWAY):
            return None

    async def _insist(self, method: str, url: str, body: object = None) -> dict[str, Any]:
        """Ask until there is an answer; raises StackError for another than 200, or for none."""
        for _ in range(TRIES):
            try:
                return await self._ask(method, url, body)
            except AWAY:
                await asyncio.sleep(LOOK_SECONDS)
        raise StackError(f"{method} {url}: no answer")

    async def _ask(self, method: str, url: str, body: object = None) -> dict[str, Any]:
        """Ask a service and return its answer; raises StackError for another than 200."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        headers = {"Authorization": f"Bearer {self.token}"}
        data = None if body is None else msgspec.json.encode(body)
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.request(method, url, data=data) as answer,
        ):
            content = await answer.read()
            if answer.status != 200:
                raise StackError(f"{method} {url}: {answer.status} {content[:200]!r}")
            found: dict[str, Any] = msgspec.json.decode(content)
            return found
