"""Nothing grows: connections that come and go, and a while of everything at once.

CHURN_SECONDS makes the while longer. By the end of its first third a broker's heap should be as
large as it will be, after some 15 s; where it is not, the while goes on.
"""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from benchmarks.churn import LONGEST, OPTIONS, churn, growth, show
from benchmarks.usage import Usage, usage_of
from tests.support.broker import BrokerProcess, broker_process
from tests.support.client import TOKEN, BrokerClient
from tests.support.waiting import until_told

CONNECTIONS = 2000
WARM_UP = 200
AT_ONCE = 25
SLACK_BYTES = 4 << 20
CHURN_SECONDS = float(os.environ.get("CHURN_SECONDS", "45"))


async def come_and_go(url: str) -> None:
    """Open a stream, read its beginning, and drop the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    head = f"GET /consume?topic=t HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    writer.write(head.encode())
    assert b"200" in await reader.readline()
    writer.transport.abort()


async def come_and_go_often(url: str, times: int) -> None:
    """A few at once, ``times`` in all."""
    for _ in range(times // AT_ONCE):
        await asyncio.gather(*(come_and_go(url) for _ in range(AT_ONCE)))


async def settled(broker: BrokerProcess, most: Usage) -> Usage:
    """What the broker holds once it holds no more than ``most``, or after a while."""
    pid = broker.process.pid
    held = await usage_of(pid, broker.url)

    async def has_settled() -> bool:
        nonlocal held  # this one: the next may meet a file that is being written
        held = await usage_of(pid, broker.url)
        return fits(held, most)

    with contextlib.suppress(TimeoutError):
        await until_told(has_settled)
    return held


def fits(held: Usage, most: Usage) -> bool:
    """No more of anything; memory may differ by what an allocator keeps."""
    return all(a <= b for a, b in zip(held[1:], most[1:], strict=True)) and (
        held.rss <= most.rss + SLACK_BYTES
    )


async def test_two_thousand_consumers_come_and_go_and_leave_nothing(tmp_path: Path) -> None:
    for_ever = str(10 * CONNECTIONS)  # each connection is a delivery
    async with broker_process(tmp_path / "data", MAX_DELIVERIES=for_ever) as broker:
        async with BrokerClient(broker.url) as client:
            await client.produce_lines("t", *[b"x"] * 100)
        idle = await settled(broker, await usage_of(broker.process.pid, broker.url))
        await come_and_go_often(broker.url, WARM_UP)
        warm = await settled(broker, idle)
        base = Usage(warm.rss, idle.descriptors, warm.threads, idle.tasks, idle.logs)
        await come_and_go_often(broker.url, CONNECTIONS)
        after = await settled(broker, base)
        async with BrokerClient(broker.url) as client:
            stats = (await client.request("GET", "/stats")).json
            rows = await client.groups("t")
    print(f"before {base}, after {after}")
    assert fits(after, base), f"before {base}, after {after}"
    assert stats["streams"] == 0
    assert sum(row["in_flight"] for row in rows) == 0


@pytest.mark.timeout(LONGEST * CHURN_SECONDS + 100)
async def test_a_while_of_everything_at_once_leaves_the_broker_as_it_was(tmp_path: Path) -> None:
    async with broker_process(tmp_path / "data", environment=OPTIONS) as broker:
        held = await churn(broker.url, TOKEN, broker.process.pid, CHURN_SECONDS)
        async with BrokerClient(broker.url) as client:
            done = (await client.request("GET", "/metrics")).body.decode()
        log = broker.stderr()
    show(held, CHURN_SECONDS)
    assert growth(held) == []
    for verb in ("produce", "ack", "nack", "extend", "dlq/redrive"):
        assert f'route="/{verb}",status="200"' in done
    assert "Traceback" not in log
    assert "messages lost" not in log
