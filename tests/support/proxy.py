"""Proxies for tests, and whole clusters: brokers, each behind a gate, and a proxy to them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from common.clock import Clock
from common.lifecycle import Lifecycle
from proxy.app import create_app
from proxy.options import ProxyOptions
from proxy.proxy import Proxy
from tests.support.broker import RunningBroker, running_broker
from tests.support.client import TOKEN, BrokerClient
from tests.support.faulty import CHUNK_BYTES, Gate, opened
from tests.support.serving import running

POLL_SECONDS = 0.005
SOON_SECONDS = 10.0
QUICK = {
    "port": 0,
    "probe_seconds": 0.02,
    "breaker_seconds": 0.02,
    "connect_seconds": 2.0,
    "probe_timeout_seconds": 2.0,
    "request_seconds": 5.0,
}


@dataclass
class RunningProxy:
    """A proxy in this event loop: its URL, a client with the token, and its insides."""

    url: str
    client: BrokerClient
    proxy: Proxy
    lifecycle: Lifecycle


@dataclass
class Cluster(RunningProxy):
    """A proxy, its brokers by name, and the gate in front of each."""

    brokers: dict[str, RunningBroker]
    gates: dict[str, Gate]

    async def partition_of(self, broker: str, topic: str = "t") -> int:
        """A partition that ``GET /status`` says a broker owns."""
        owners: list[str] = (await self.status())["owners"][topic]
        return owners.index(broker)

    async def status(self) -> Any:
        """``GET /status``."""
        return (await self.client.request("GET", "/status")).json

    async def until_ready_is(self, broker: str, ready: bool) -> None:
        """Return when the proxy has noticed that a broker is, or is not, ready."""
        member = self.proxy.members.get(broker)
        await until(lambda: member.ready == ready)


def proxy_options(brokers: Mapping[str, str], **given: Any) -> ProxyOptions:
    """Options of a test proxy to brokers by name; ``given`` by field name."""
    names = tuple(f"{name}={url}" for name, url in brokers.items())
    if "brokers_file" in given:
        given["brokers_file"].write_text("\n".join(names))
        names = ()
    return ProxyOptions(brokers=names, service_token=SecretStr(TOKEN), **(QUICK | given))


@contextlib.asynccontextmanager
async def running_proxy(
    brokers: Mapping[str, str], clock: Clock | None = None, **given: Any
) -> AsyncIterator[RunningProxy]:
    """Serve a proxy in this event loop; leaving stops it cleanly."""
    options = proxy_options(brokers, **given)
    lifecycle = Lifecycle()
    app = create_app(options, lifecycle, clock)
    async with running(app, options, lifecycle) as url, BrokerClient(url) as client:
        yield RunningProxy(url, client, app.state.proxy, lifecycle)


@contextlib.asynccontextmanager
async def cluster(
    directory: Path,
    count: int = 3,
    clock: Clock | None = None,
    piece_bytes: int = CHUNK_BYTES,
    topic: str = "t",
    listed: Collection[str] = (),
    **given: Any,
) -> AsyncIterator[Cluster]:
    """Serve ``count`` brokers and a proxy to them, or to those ``listed``, that knows ``topic``.

    With ``brokers_file`` among the options the list is written there.
    """
    async with contextlib.AsyncExitStack() as stack:
        brokers = {
            name: await stack.enter_async_context(
                running_broker(directory / name, broker_name=name, durability="disk")
            )
            for name in (f"broker-{number}" for number in range(count))
        }
        gates = {name: Gate(broker.url, piece_bytes) for name, broker in brokers.items()}
        await stack.enter_async_context(opened(*gates.values()))
        urls = {name: gate.url for name, gate in gates.items() if not listed or name in listed}
        proxy = await stack.enter_async_context(running_proxy(urls, clock, **given))
        await proxy.client.request("PUT", f"/topics/{topic}", data=b'{"partitions": 8}')
        await proxy.proxy.topics.count(topic)
        yield Cluster(**vars(proxy), brokers=brokers, gates=gates)


async def until(holds: Callable[[], bool], seconds: float = SOON_SECONDS) -> None:
    """Return as soon as something holds; raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  what is waited for is another's insides
            await asyncio.sleep(POLL_SECONDS)
