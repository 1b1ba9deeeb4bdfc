"""The collector as a service: its knobs do what they say, its statistics say what it did."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from collector.app import create_app
from collector.collector import SUMMARY_SECONDS, Collector
from common.journal.journal import Journal
from common.lifecycle import Lifecycle
from common.storage.sqlite.store import SqliteStore
from tests.collector.conftest import Start, collector_options
from tests.collector.fakes import FakeQueue, FakeStore, delivery, message, sample
from tests.support.broker import RunningBroker, running_broker
from tests.support.clock import ManualClock
from tests.support.serving import running
from tests.support.waiting import until, until_told

SAID = {
    "queue_delivered": 3,
    "messages_processed": 3,
    "messages_errors": {"bad_json": 1},
    "gpus_stored": 1,
    "telemetry_stored": 3,
    "lag": 0,
}


async def test_a_summary_comes_each_ten_seconds_and_at_the_end(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path / "broker") as broker:
        payloads = message(sample(1), sample(2)), message(sample(3)), b"nonsense"
        await broker.client.produce_lines("telemetry", *payloads, partition=0)
        options = collector_options(tmp_path, queue_url=broker.url)
        lifecycle = Lifecycle()
        app = create_app(options, lifecycle, clock)
        with capture_logs() as logs:
            async with running(app, options, lifecycle):
                collector: Collector = app.state.collector
                await until(lambda: collector.stats()["telemetry_stored"] == 3)
                await until_told(lambda: all_settled(broker))
                clock.advance(SUMMARY_SECONDS)
                await until(lambda: said("summary", logs))
    for event in ("summary", "collector stopped"):
        (line,) = said(event, logs)
        assert {name: line[name] for name in SAID} == SAID


def said(event: str, logs: list[Any]) -> list[Any]:
    return [line for line in logs if line["event"] == event]


async def all_settled(broker: RunningBroker) -> bool:
    rows = await broker.client.groups("telemetry", "collectors")
    return bool(rows) and all(row["lag"] == 0 for row in rows)


async def test_queue_workers_are_streams_that_share_the_buffer(tmp_path: Path) -> None:
    async with running_broker(tmp_path / "broker") as broker:
        options = collector_options(
            tmp_path, queue_url=broker.url, queue_workers=3, buffer_messages=30
        )
        lifecycle = Lifecycle()
        await broker.client.request("PUT", "/topics/telemetry", data=b"{}")
        async with running(create_app(options, lifecycle), options, lifecycle):

            async def streams() -> list[Any]:
                rows = await broker.client.groups("telemetry", "collectors")
                return [member for row in rows[:1] for member in row["members"]]

            await until_told(lambda: there_are(streams, 3))
            for number in range(60):
                await broker.client.produce("telemetry", message(sample(number)))
            await until_told(lambda: all_settled(broker))
    store = SqliteStore(options.sqlite_path, writable=False)
    assert store.stats().points == 60
    store.close()


async def there_are(streams: Any, count: int) -> bool:
    return len(await streams()) == count


@pytest.mark.parametrize("handlers", [1, 4])
async def test_so_many_deliveries_are_under_way_at_most(
    start: Start, monkeypatch: pytest.MonkeyPatch, handlers: int
) -> None:
    gate = threading.Event()
    append = "collector.spool.Journal.append"
    original = Journal.append

    def wait_and_append(*given: Any, **named: Any) -> None:
        gate.wait(10)
        original(*given, **named)

    monkeypatch.setattr(append, wait_and_append)
    queue, store = FakeQueue(), FakeStore()
    async with start(queue, store, handlers=handlers):
        queue.put(*(delivery(number) for number in range(50)))
        try:
            await until(lambda: queue.taken > handlers)
            await asyncio.sleep(0.05)  # whatever more it would take, it takes by then
            assert queue.taken == handlers + 1  # one would be next
        finally:
            gate.set()
        await until(lambda: len(queue.acked) == 50)
