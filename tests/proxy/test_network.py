"""Cables that are pulled, that lose packets, that are slow: in a network of the test's own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.support.broker import running_broker
from tests.support.client import Answer, Events, payload
from tests.support.network import Network, network
from tests.support.ports import free_port
from tests.support.process import ServiceProcess
from tests.support.proxy import RunningProxy, running_proxy, until

pytestmark = pytest.mark.timeout(120)

PATIENCE_SECONDS = 60.0
LIKE_A_REAL_ONE = {"probe_seconds": 0.2, "probe_timeout_seconds": 1.5, "breaker_seconds": 0.5}


@dataclass
class Apart:
    """A proxy and the broker ``near`` on this machine, the broker ``far`` at the end of a cable."""

    proxy: RunningProxy
    cable: Network
    far: ServiceProcess

    async def partition_of(self, broker: str) -> int:
        status = (await self.proxy.client.request("GET", "/status?topic=t")).json
        return int(status["owners"]["t"].index(broker))

    async def produce(self, partition: int, body: bytes, keyed: bool = True) -> Answer:
        headers = {"Idempotency-Key": body.decode()} if keyed else {}
        return await self.proxy.client.produce("t", body, partition=partition, headers=headers)

    async def until_ready_is(self, ready: bool) -> None:
        member = self.proxy.proxy.members.get("far")
        await until(lambda: member.ready == ready, PATIENCE_SECONDS)


@contextlib.asynccontextmanager
async def apart(tmp_path: Path, **given: Any) -> AsyncIterator[Apart]:
    with network() as cable:
        options = {"BROKER_NAME": "far", "HOST": "0.0.0.0"}
        port = free_port()
        far = ServiceProcess("broker", tmp_path / "far", port, options, cable.host, cable.prefix)
        try:
            await far.start()
            async with (
                running_broker(tmp_path / "near", broker_name="near") as near,
                running_proxy(
                    {"far": far.url, "near": near.url}, **(LIKE_A_REAL_ONE | given)
                ) as proxy,
            ):
                members = proxy.proxy.members
                await until(lambda: all(each.ready for each in members), PATIENCE_SECONDS)
                made = await proxy.client.request("PUT", "/topics/t", data=b'{"partitions": 8}')
                assert made.status == 200
                yield Apart(proxy, cable, far)
        finally:
            await far.kill()


async def until_found(events: Events, expected: set[bytes]) -> None:
    """Return when all of these came, some twice perhaps, and nothing else did."""
    found: set[bytes] = set()
    while found != expected:
        event = await events.next(PATIENCE_SECONDS)
        found.add(payload(msgspec.json.decode(event.data[0])))
        assert found <= expected


async def test_a_pulled_cable_costs_its_keys_a_moment_and_heals(tmp_path: Path) -> None:
    async with apart(tmp_path) as it:
        far, near = await it.partition_of("far"), await it.partition_of("near")
        assert (await it.produce(far, b"before")).json["id"].startswith("far:")
        it.cable.pull()
        answers = await asyncio.gather(it.produce(far, b"during"), it.produce(near, b"other"))
        assert [answer.json["id"].split(":")[0] for answer in answers] == ["near", "near"]
        await it.until_ready_is(False)
        assert (await it.produce(far, b"later", keyed=False)).status == 200
        it.cable.plug()
        await it.until_ready_is(True)
        assert (await it.produce(far, b"after")).json["id"].startswith("far:")
        async with it.proxy.client.consume("t") as events:
            await until_found(events, {b"before", b"during", b"other", b"later", b"after"})


@pytest.mark.parametrize("way", ["input", "output"])
async def test_packets_lost_one_way_wedge_nothing(tmp_path: Path, way: str) -> None:
    async with apart(tmp_path) as it:
        far = await it.partition_of("far")
        assert (await it.produce(far, b"before")).json["id"].startswith("far:")
        it.cable.drop(way)
        assert (await it.produce(far, b"during")).json["id"].startswith("near:")
        await it.until_ready_is(False)
        it.cable.pass_all()
        await it.until_ready_is(True)
        async with it.proxy.client.consume("t") as events:
            await until_found(events, {b"before", b"during"})
        assert (await it.produce(far, b"after")).json["id"].startswith("far:")


async def test_a_cable_that_loses_a_third_loses_no_message(tmp_path: Path) -> None:
    patient = {"probe_timeout_seconds": 20.0, "connect_seconds": 20.0, "request_seconds": 40.0}
    async with apart(tmp_path, **patient) as it:
        far = await it.partition_of("far")
        it.cable.drop("input", each=3)
        sent = [b"%d" % number for number in range(10)]
        async with it.proxy.client.consume("t") as events:
            answers = await asyncio.gather(*(it.produce(far, body) for body in sent))
            assert {answer.status for answer in answers} == {200}
            await until_found(events, set(sent))


async def test_a_slow_cable_slows_its_client_and_fills_no_memory(tmp_path: Path) -> None:
    taken = 0

    async def flood() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(200):
            taken += 1
            yield b"x" * 1_000_000

    patient = {"probe_timeout_seconds": 30.0, "max_body_bytes": 1 << 30, "request_seconds": 60.0}
    async with apart(tmp_path, **patient) as it:
        far, near = await it.partition_of("far"), await it.partition_of("near")
        it.cable.throttle("64kbit")
        flooding = asyncio.create_task(
            it.proxy.client.produce("t", flood(), partition=far)  # type: ignore[arg-type]
        )
        await until(lambda: taken > 1)
        for number in range(50):
            assert (await it.produce(near, b"%d" % number)).status == 200
        assert taken < 40
        flooding.cancel()
        with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError):
            await flooding
        await it.far.kill()  # what still lies in the sockets' buffers is nobody's any more
        await it.until_ready_is(False)
