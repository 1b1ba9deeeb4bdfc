"""``ACK_MODE=stored``: nothing on a disk, nothing acked before the store has it."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from collector.leases import EVERY_SECONDS
from collector.options import CollectorOptions
from tests.collector.conftest import Start
from tests.collector.fakes import FakeQueue, FakeStore, delivery, message, raw_message, sample
from tests.collector.test_letters import BROKEN, encoded, ranged, receipt
from tests.support.broker import running_broker
from tests.support.client import TOKEN
from tests.support.collector import collector_process
from tests.support.waiting import until

STORED: Any = {"ack_mode": "stored"}


async def test_nothing_is_acked_before_it_is_stored(start: Start, tmp_path: Path) -> None:
    events: list[Any] = []
    queue, store = FakeQueue(events), FakeStore(events)
    store.here.clear()
    async with start(queue, store, **STORED) as pipeline:
        queue.put(*(delivery(number) for number in range(20)))
        await until(lambda: pipeline.stats()["messages_processed"] == 20)
        await until(lambda: pipeline.stats()["store_failures"] > 3)
        assert queue.acked == []
        store.here.set()
        await until(lambda: len(queue.acked) == 20)
        assert pipeline.stats()["spool_bytes"] == 0
    assert next(event for event, _ in events if event != "bury") == "store"
    assert list((tmp_path / "collector").iterdir()) == []


async def test_leases_are_kept_while_the_store_is_away(start: Start) -> None:
    queue, store = FakeQueue(), FakeStore()
    store.here.clear()
    async with start(queue, store, **STORED):
        queue.put(delivery(1))
        await until(lambda: queue.extended.count(receipt(1)) > 2)
        store.here.set()
        await until(lambda: queue.acked == [receipt(1)])
        queue.extended.clear()
        queue.put(delivery(2))
        await until(lambda: len(queue.acked) == 2)
    assert receipt(1) not in queue.extended
    assert EVERY_SECONDS < 30  # the default visibility timeout


async def test_broken_and_empty_messages_do_not_wait_for_the_store(start: Start) -> None:
    queue, store = FakeQueue(), FakeStore()
    store.here.clear()
    async with start(queue, store, **STORED):
        partly = raw_message(BROKEN, encoded(sample(1)))
        queue.put(ranged(5, partly, b"nonsense", message(), message(sample(2))))
        await until(lambda: queue.acked == [receipt(7)] and [*queue.rejected] == [receipt(6)])
        assert len(queue.letters) == 1
        store.here.set()
        await until(lambda: queue.acked == [receipt(7), receipt(5), receipt(8)])


async def test_what_it_holds_is_bounded(start: Start) -> None:
    queue, store = FakeQueue(), FakeStore()
    store.here.clear()
    payload = message(*(sample(at) for at in range(5000)))
    async with start(queue, store, spool_bytes=1 << 20, **STORED) as pipeline:
        queue.put(*(delivery(number, payload) for number in range(60)))
        await until(lambda: pipeline.stats()["spool_bytes"] > 1 << 20)
        assert pipeline.stats()["messages_processed"] < 60
        store.here.set()
        await until(lambda: len(queue.acked) == 60)


def test_a_spool_needs_a_place() -> None:
    token = SecretStr(TOKEN)
    assert CollectorOptions(ack_mode="stored", service_token=token).data_dir is None
    with pytest.raises(ValidationError, match="DATA_DIR is required"):
        CollectorOptions(service_token=token)


async def test_a_spool_that_holds_something_is_not_left_behind(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "broker")  # a directory
    async with running_broker(tmp_path / "broker") as broker:
        await broker.client.produce("telemetry", message(sample(1)), partition=0)
        async with collector_process(tmp_path, broker.url, SQLITE_PATH=nowhere) as collector:
            await until(lambda: acked(broker) == 1)
            await collector.terminate()
            with pytest.raises(RuntimeError):
                async with collector_process(tmp_path, broker.url, ACK_MODE="stored") as other:
                    assert other
    assert "ACK_MODE: the spool in DATA_DIR holds 1 messages" in collector.output()


def acked(broker: Any) -> int:
    return sum(
        group.counts(part.end)["acked"]
        for part in broker.broker.topics.partitions()
        for group in part.groups
    )


async def test_as_a_process_it_needs_no_directory(tmp_path: Path) -> None:
    async with running_broker(tmp_path / "broker") as broker:
        await broker.client.produce("telemetry", message(sample(1)), partition=0)
        async with collector_process(tmp_path, broker.url, ACK_MODE="stored"):
            await until(lambda: acked(broker) == 1)
