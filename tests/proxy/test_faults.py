"""Networks and brokers that fail in the middle of things."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from common.breaker import FAILURES_TO_OPEN
from tests.support.broker import RunningBroker, running_broker
from tests.support.client import payload
from tests.support.faulty import FaultyBroker, Listener, opened
from tests.support.proxy import Cluster, RunningProxy, cluster, running_proxy, until
from tests.support.toxic import Poison, ToxicLink

PRODUCE = b"POST /produce"
CONSUME = b"GET /consume"


@dataclass
class Spoiled:
    """A proxy, one broker, and the link between them."""

    proxy: RunningProxy
    broker: RunningBroker
    link: ToxicLink

    async def produce(self, key: str = "") -> Any:
        """Send one message by way of the link."""
        headers = {"Idempotency-Key": key} if key else {}
        return await self.proxy.client.produce("t", b"x", partition=0, headers=headers)

    def stored(self) -> int:
        """Messages that the broker has."""
        return self.broker.broker.topics.get("t").partition(0).end


@contextlib.asynccontextmanager
async def spoiled(tmp_path: Path, **given: Any) -> AsyncIterator[Spoiled]:
    async with running_broker(tmp_path / "b", broker_name="b", durability="disk") as broker:
        link = ToxicLink(broker.url)
        async with opened(link), running_proxy({"b": link.url}, **given) as proxy:
            await proxy.client.request("PUT", "/topics/t", data=b"{}")
            yield Spoiled(proxy, broker, link)


async def test_an_answer_lost_to_a_reset_is_asked_for_again_by_its_key(tmp_path: Path) -> None:
    async with spoiled(tmp_path) as it:
        it.link.poison = Poison("reset", PRODUCE, times=1)
        answer = await it.produce(key="once")
        assert (answer.status, answer.json["offset"], answer.json["duplicate"]) == (200, 0, True)
        assert (it.stored(), it.link.struck) == (1, 1)


async def test_without_a_key_nobody_asks_again_and_the_doubt_is_told(tmp_path: Path) -> None:
    async with spoiled(tmp_path) as it:
        it.link.poison = Poison("reset", PRODUCE)
        answer = await it.produce()
        assert (answer.status, answer.code) == (503, "BROKER_UNREACHABLE")
        assert "may have been done" in answer.json["error"]["message"]
        assert (it.stored(), it.link.struck) == (1, 1)


async def test_an_answer_that_never_comes_is_asked_for_again_by_its_key(tmp_path: Path) -> None:
    async with spoiled(tmp_path, request_seconds=0.3) as it:
        it.link.poison = Poison("swallow", PRODUCE, times=1)
        answer = await it.produce(key="once")
        assert (answer.status, answer.json["offset"], answer.json["duplicate"]) == (200, 0, True)
        assert it.stored() == 1


async def test_asking_again_has_an_end(tmp_path: Path) -> None:
    async with spoiled(tmp_path) as it:
        it.link.poison = Poison("reset", PRODUCE)
        assert (await it.produce(key="once")).status == 503
        assert (it.stored(), it.link.struck) == (1, 2)


async def test_a_stream_that_falls_silent_is_opened_anew(tmp_path: Path) -> None:
    async with spoiled(tmp_path, idle_seconds=0.2) as it:
        it.link.poison = Poison("swallow", CONSUME, times=1)
        it.link.poison.times = 0
        async with it.proxy.client.consume("t") as events:
            it.link.poison = Poison("swallow")  # every connection falls silent, this one too
            await until(lambda: not it.proxy.proxy.members.get("b").ready)
            it.link.poison = None
            await it.broker.client.produce("t", b"after", partition=0)
            assert payload(await events.message()) == b"after"


async def test_a_broker_that_accepts_and_stalls_is_left_for_its_stand_in(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2) as duo:
        link = ToxicLink(duo.brokers["broker-1"].url)
        async with opened(link):
            urls = {"broker-0": duo.brokers["broker-0"].url, "broker-1": link.url}
            async with running_proxy(urls, probe_timeout_seconds=0.5) as proxy:
                status = (await proxy.client.request("GET", "/status?topic=t")).json
                partition = status["owners"]["t"].index("broker-1")
                link.poison = Poison("stall")
                waiting = asyncio.create_task(
                    proxy.client.produce(
                        "t", b"x", partition=partition, headers={"Idempotency-Key": "k"}
                    )
                )
                answer = await waiting  # its own wait is cut once the probes find out
                assert (answer.status, answer.json["id"].split(":")[0]) == (200, "broker-0")
                assert proxy.proxy.members.get("broker-1").breaker.state == "closed"
                assert (await proxy.client.produce("t", b"x", partition=partition)).status == 200
                link.poison = None
                await until(lambda: proxy.proxy.members.get("broker-1").ready)
                back = await proxy.client.produce("t", b"x", partition=partition)
                assert back.json["id"].startswith("broker-1:")


async def test_probes_that_pass_do_not_close_what_requests_opened(tmp_path: Path) -> None:
    async with spoiled(tmp_path, request_seconds=0.05, breaker_seconds=60.0) as it:
        it.link.poison = Poison("stall", PRODUCE)
        for _ in range(FAILURES_TO_OPEN):
            assert (await it.produce()).code == "BROKER_UNREACHABLE"
        member = it.proxy.proxy.members.get("b")
        assert member.breaker.state == "open"
        probes = member.tally.probes
        await until(lambda: member.tally.probes > probes + 2)
        assert (member.ready, member.breaker.state) == (True, "open")
        struck = it.link.struck
        assert (await it.produce()).code == "BROKER_UNREACHABLE"
        assert it.link.struck == struck


async def test_an_answer_that_trickles_is_cut_by_the_deadline(tmp_path: Path) -> None:
    async with spoiled(tmp_path, request_seconds=0.3) as it:
        it.link.poison = Poison("trickle", PRODUCE, tick_seconds=0.05)
        answer = await it.produce()
        assert (answer.status, answer.code) == (503, "BROKER_UNREACHABLE")


@pytest.mark.parametrize("keep", [0, 1, 40, 120, 200])
async def test_an_answer_that_is_cut_is_no_answer(tmp_path: Path, keep: int) -> None:
    async with spoiled(tmp_path) as it:
        it.link.poison = Poison("truncate", PRODUCE, keep=keep)
        answer = await it.produce()
        assert (answer.status, answer.code) == (503, "BROKER_UNREACHABLE")
        it.link.poison = None
        assert (await it.produce()).status == 200


async def test_garbage_is_no_answer_and_the_next_request_is_served(tmp_path: Path) -> None:
    async with spoiled(tmp_path) as it:
        it.link.poison = Poison("garbage", PRODUCE, times=1)
        assert (await it.produce()).code == "BROKER_UNREACHABLE"
        assert (await it.produce()).status == 200


async def test_an_answer_without_an_end_is_cut_by_its_size() -> None:
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 3_000_000
    broker = FaultyBroker("a", endless)
    async with opened(broker), running_proxy({"a": broker.url}, max_event_bytes=100_000) as proxy:
        answer = await proxy.client.request("GET", "/messages?topic=t&broker=a")
    assert (answer.status, answer.code) == (503, "BROKER_UNREACHABLE")


class Deaf(Listener):
    """Accepts, never reads; says when a client hung up."""

    def __init__(self) -> None:
        super().__init__()
        self.connected = self.hung_up = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Wait for the end."""
        self.connected += 1
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        try:
            while not writer.transport.is_closing():
                await asyncio.sleep(0.01)
                if self.closed_by_peer(writer):
                    self.hung_up += 1
                    return
        finally:
            writer.transport.abort()

    def closed_by_peer(self, writer: asyncio.StreamWriter) -> bool:
        """Whether the kernel knows that the other side has gone."""
        sock = writer.get_extra_info("socket")
        state: int = sock.getsockopt(6, 11, 1)[0]  # TCP_INFO begins with the state
        return state != 1


async def test_a_body_that_no_broker_reads_stops_its_client(tmp_path: Path) -> None:
    """200 MB are offered; the proxy takes what the sockets hold and no more."""
    taken = 0

    async def flood() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(200):
            taken += 1
            yield b"x" * 1_000_000

    deaf = Deaf()
    async with opened(deaf), running_proxy({"a": deaf.url}, max_body_bytes=1 << 30) as proxy:
        proxy.proxy.topics._counts["t"] = 1
        sending = asyncio.create_task(
            proxy.client.produce("t", flood())  # type: ignore[arg-type]
        )
        await until(lambda: deaf.connected > 0 and taken > 1)
        before = -1
        while taken != before:  # it has stopped when it does not move for a while
            before = taken
            await asyncio.sleep(0.3)
        assert taken < 40
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError):
            await sending


async def test_a_body_over_the_cap_is_refused_before_it_is_whole(trio: Cluster) -> None:
    taken = 0

    async def flood() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(200):
            taken += 1
            yield b"x" * 1_000_000

    try:
        answer = await trio.client.produce("t", flood(), partition=0)  # type: ignore[arg-type]
    except aiohttp.ClientError:
        pass  # the connection was closed before the refusal could be read
    else:
        assert (answer.status, answer.code) == (413, "TOO_LARGE")
    assert taken < 60
    assert all(
        broker.broker.topics.get("t").partition(0).end == 0 for broker in trio.brokers.values()
    )


async def test_a_client_that_leaves_takes_its_request_with_it() -> None:
    deaf = Deaf()
    async with opened(deaf), running_proxy({"a": deaf.url}) as proxy:
        proxy.proxy.topics._counts["t"] = 1
        sending = asyncio.create_task(proxy.client.produce("t", b"x"))
        await until(lambda: deaf.connected > 1)
        connected, gone = deaf.connected, deaf.hung_up
        member = proxy.proxy.members.get("a")
        await until(lambda: bool(member.calls))
        sending.cancel()
        await until(lambda: not member.calls)
        await until(lambda: deaf.hung_up > gone)
        assert connected
        assert member.breaker.state == "closed"
