"""System calls that fail, hang or lie while a broker serves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.load import GONE
from tests.support.broker import BrokerProcess, broker_process
from tests.support.client import Answer, BrokerClient
from tests.support.tracing import SYNCS, Tracer, attached
from tests.support.waiting import until

BEFORE = [b"before-0", b"before-1"]
DELAY = "delay_enter=1000000"  # microseconds
HANG = "delay_enter=60000000"
QUICK = {
    "DISK_THREADS": "1",
    "CHECKPOINT_INTERVAL": "20ms",
    "HEARTBEAT": "20ms",
    "SHUTDOWN_GRACE": "1s",
    "QUEUE_SIZE": "1",
}


class Served(NamedTuple):
    """A broker whose partitions 0 and 1 hold a message each; ``suffer`` makes its calls fail."""

    broker: BrokerProcess
    client: BrokerClient
    log: Path

    async def produce(self, payload: bytes, partition: int = 0) -> Answer:
        """Produce with fsync."""
        return await self.client.produce("t", payload, partition=partition)

    @contextlib.asynccontextmanager
    async def suffer(self, calls: str, what: str) -> AsyncIterator[Tracer]:
        """See ``attached``."""
        async with attached(self.broker.process.pid, calls, what, self.log) as tracer:
            yield tracer


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """One disk thread, so that calls can be counted, and a place that is written down often."""
    async with (
        broker_process(tmp_path / "data", environment=QUICK) as broker,
        BrokerClient(broker.url) as client,
    ):
        for partition, payload in enumerate(BEFORE):
            await client.produce("t", payload, partition=partition)
        yield Served(broker, client, tmp_path / "calls")


async def everything(client: BrokerClient, group: str = "g") -> set[str]:
    """The payloads that a group gets and acks."""
    found = set()
    async with client.consume("t", group=group) as events:
        while any(row["lag"] for row in await client.groups("t", group)):
            message = await events.message()
            await client.settle("t", message["receipt"], group=group)
            found.add(message["payload"])
    return found


async def restart(broker: BrokerProcess) -> None:
    assert await broker.terminate() != 1
    await broker.start()
    await broker.until_ready()


@pytest.mark.parametrize("call", ["fdatasync", "writev"])
async def test_a_call_that_fails_once_shuts_its_partition_until_a_restart(
    served: Served, call: str
) -> None:
    client = served.client
    async with served.suffer(call, "error=EIO:when=2"):
        assert (await served.produce(b"fits")).status == 200
        failed = await served.produce(b"fails")
        assert (failed.status, failed.code) == (503, "PARTITION_READ_ONLY")
        assert "Retry-After" in failed.headers
    assert (await served.produce(b"too late")).code == "PARTITION_READ_ONLY"
    assert (await served.produce(b"elsewhere", partition=1)).status == 200
    assert await everything(client) == {"before-0", "before-1", "fits", "elsewhere"}
    metrics = (await client.request("GET", "/metrics")).body.decode()
    assert 'partition_read_only{partition="0",topic="t"} 1.0' in metrics
    assert 'partition_read_only{partition="1",topic="t"} 0.0' in metrics
    assert list((await client.request("GET", "/stats")).json["read_only"]) == ["t/0"]
    await restart(served.broker)
    assert (await served.produce(b"again")).status == 200
    found = await everything(client, "fresh")
    assert found - {"fails"} >= {"before-0", "before-1", "fits", "elsewhere"}


async def test_while_no_sync_succeeds_nothing_is_taken_and_everything_is_delivered(
    served: Served,
) -> None:
    async with served.suffer(SYNCS, "error=EIO"):
        for partition in (0, 1):
            assert (await served.produce(b"no", partition)).code == "PARTITION_READ_ONLY"
        assert await everything(served.client) == {"before-0", "before-1"}
        assert (await served.client.request("GET", "/health")).status == 200
    assert served.broker.process.returncode is None
    assert "Traceback" not in served.broker.stderr()
    await restart(served.broker)
    assert (await served.produce(b"yes")).status == 200


async def test_a_read_that_fails_ends_the_stream_and_loses_nothing(served: Served) -> None:
    for number in range(3):
        await served.produce(b"%d" % number)
    async with served.client.consume("t", group="g", partition=0) as events:
        await events.messages(4)
    async with (
        served.suffer("pread64", "error=EIO:when=1"),
        served.client.consume("t", group="g", partition=0) as events,
    ):
        with pytest.raises(GONE):
            await events.message()
    assert await everything(served.client) == {*map(bytes.decode, BEFORE), "0", "1", "2"}
    assert sum(row["lost"] for row in await served.client.groups("t", "g")) == 0


async def test_an_interrupted_write_goes_on(served: Served) -> None:
    async with served.suffer("writev", "error=EINTR:when=1"):
        assert (await served.produce(b"whole")).status == 200
    assert (await everything(served.client)) == {"before-0", "before-1", "whole"}


async def test_places_that_cannot_be_written_hold_up_no_ack(served: Served) -> None:
    client = served.client
    async with client.consume("t", group="g") as events:
        messages = await events.messages(2)
        async with served.suffer("rename", "error=EIO") as tracer:
            settled = await client.settle("t", *(m["receipt"] for m in messages), group="g")
            assert settled.json["acked"] == 2
            await until(lambda: tracer.calls("rename"))
    await restart(served.broker)
    assert sum(row["lag"] for row in await client.groups("t", "g")) == 0


async def test_while_a_sync_takes_its_time_the_rest_of_the_broker_does_not_wait(
    served: Served,
) -> None:
    client, burst = served.client, 50
    async with (
        client.consume("t", partition=1, group="g") as events,
        served.suffer("fdatasync", DELAY) as tracer,
    ):
        await events.message()
        slow = asyncio.create_task(served.produce(b"slow"))
        await events.chunk()  # a heartbeat
        waiting = [asyncio.create_task(served.produce(b"waits")) for _ in range(burst)]
        await events.chunk()
        assert (await client.request("GET", "/health")).status == 200
        assert not slow.done()
        answers = await asyncio.gather(slow, *waiting)
        assert {answer.status for answer in answers} == {200}
        assert len(tracer.calls("fdatasync")) < 10  # places are among them
    assert sorted(answer.json["offset"] for answer in answers) == list(range(1, burst + 2))


async def test_a_disk_that_hangs_answers_nobody_and_does_not_keep_the_process(
    served: Served,
) -> None:
    async with (
        served.client.consume("t", partition=1, group="g") as events,
        served.suffer("fdatasync", HANG),
    ):
        stuck = asyncio.create_task(served.produce(b"never answered"))
        assert (await events.message())["payload"] == "before-1"
        await events.chunk()  # a heartbeat
        stopped = asyncio.create_task(served.broker.terminate())
        await until(lambda: "leaving what hangs" in served.broker.stderr())
        with contextlib.suppress(*GONE):
            assert (await stuck).status != 200
    assert await stopped == 1  # strace holds back the end of a process that it delays
