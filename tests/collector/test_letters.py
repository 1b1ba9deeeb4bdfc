"""What cannot be stored, from the queue to the dead-letter queue: whole, in part, by the store."""

from typing import Any

import msgspec
import pytest

from common.errors import BrokerUnreachable, NotFound, TooLarge
from common.models import Batch, Gpu, Sample
from tests.collector.conftest import Start
from tests.collector.fakes import (
    T0,
    FakeQueue,
    FakeStore,
    delivery,
    message,
    raw_message,
    sample,
    times,
)
from tests.support.waiting import until

BROKEN = b'{"gpu": {"uuid": "GPU-a"}, "timestamp": 3, "metrics": {"power": 1.0}}'


def decode_spooled(payload: bytes) -> list[Sample]:
    return msgspec.json.decode(payload, type=Batch).samples


def receipt(offset: int, delivered: str = "ff") -> str:
    return f"b:0:{offset}:{delivered}"


def ranged(first: int, *payloads: bytes) -> Any:
    """A delivery of several messages, with one receipt for all."""
    given = delivery(first, *payloads)
    given.receipt = f"b:0:{first}-{first + len(payloads) - 1}:ff"
    return given


def encoded(*samples: Sample) -> bytes:
    return b",".join(map(msgspec.json.encode, samples))


async def test_a_broken_message_is_rejected_and_its_neighbours_are_acked(start: Start) -> None:
    queue, store = FakeQueue(), FakeStore()
    async with start(queue, store) as pipeline:
        queue.put(ranged(5, message(sample(5)), b"nonsense", message(sample(7)), message()))
        await until(
            lambda: len(queue.acked) == 3 and queue.rejected and sorted(store.stored) == [5, 7]
        )
        assert pipeline.stats()["messages_errors"] == {"bad_json": 1}
        assert pipeline.stats()["messages_processed"] == 4
    assert queue.acked == [receipt(5), receipt(7), receipt(8)]
    ((rejected, words),) = queue.rejected.items()
    assert rejected == receipt(6)
    assert words.startswith("bad_json: ")
    assert queue.letters == {}


async def test_the_broken_part_of_a_message_is_a_letter_before_the_ack(start: Start) -> None:
    events: list[Any] = []
    queue, store = FakeQueue(events), FakeStore()
    async with start(queue, store) as pipeline:
        queue.put(ranged(5, raw_message(BROKEN, encoded(sample(1)), b"3"), message(sample(2))))
        await until(lambda: queue.acked == ["b:0:5-6:ff"] and sorted(store.stored) == [1, 2])
        assert pipeline.stats()["messages_errors"] == {"bad_sample": 1, "bad_timestamp": 1}
    assert [event for event, _ in events if event in ("bury", "ack")] == ["bury", "ack"]
    letters = sorted(queue.letters.values(), key=lambda letter: letter.error)
    assert [letter.error.partition(":")[0] for letter in letters] == ["bad_sample", "bad_timestamp"]
    assert {(letter.partition, letter.offset, letter.attempts) for letter in letters} == {(0, 5, 1)}
    assert times(decode_spooled(letters[1].payload)) == [3 - T0]


async def test_a_message_that_comes_again_writes_its_letter_under_the_same_id(start: Start) -> None:
    queue, store = FakeQueue(), FakeStore()
    async with start(queue, store):
        for delivered in ("ff", "fe"):
            again = delivery(5, raw_message(BROKEN, encoded(sample(1))))
            again.receipt = receipt(5, delivered)
            queue.put(again)
        await until(lambda: len(queue.acked) == 2)
    assert len(queue.letters) == 1
    assert [event for event, _ in queue.events].count("bury") == 2


@pytest.mark.parametrize("error", [BrokerUnreachable("away"), NotFound("an older broker")])
async def test_while_letters_are_not_taken_nothing_is_acked(start: Start, error: Any) -> None:
    queue, store = FakeQueue(), FakeStore()
    queue.failures = [error] * 5
    async with start(queue, store):
        queue.put(delivery(5, raw_message(BROKEN, encoded(sample(1)))))
        await until(lambda: queue.acked == [receipt(5)])
    assert [event for event, _ in queue.events] == ["bury"] * 6 + ["ack"]


async def test_a_part_too_large_for_a_letter_takes_its_message_along(start: Start) -> None:
    queue, store = FakeQueue(), FakeStore()
    queue.failures = [TooLarge("over the cap")]
    async with start(queue, store):
        queue.put(ranged(5, raw_message(BROKEN, encoded(sample(1))), message(sample(2))))
        await until(lambda: queue.acked == [receipt(6)] and sorted(store.stored) == [1, 2])
    assert queue.rejected == {receipt(5): "bad_timestamp"}


async def test_one_metric_the_store_refuses_is_a_letter_with_its_words(start: Start) -> None:
    queue, store = FakeQueue(), FakeStore()
    store.refuses = lambda each, name: (
        "type conflict" if (name, each.timestamp - T0) == ("b", 7) else ""
    )
    async with start(queue, store) as pipeline:
        queue.put(ranged(0, *(message(sample(at, a=1.0, b=2.0, c=3.0)) for at in range(20))))
        await until(lambda: queue.letters and pipeline.stats()["spool_messages"] == 0)
        stats = pipeline.stats()
    assert stats["messages_errors"] == {"refused_by_store": 1}
    (letter,) = queue.letters.values()
    assert letter.error == "refused_by_store: type conflict"
    assert (letter.partition, letter.offset) == (0, 7)
    assert decode_spooled(letter.payload) == [sample(7, b=2.0)]
    assert sorted(store.stored) == [*range(20)]
    assert stats["telemetry_stored"] == 59


async def test_one_bad_point_of_five_thousand_costs_a_handful_of_writes(start: Start) -> None:
    queue, store = FakeQueue(), FakeStore()
    store.here.clear()
    names = {f"metric_{n}": 1.0 for n in range(10)}
    bad = ("metric_6", 333)
    store.refuses = lambda each, name: "refused" if (name, each.timestamp - T0) == bad else ""
    async with start(queue, store, batch_points=5000) as pipeline:
        queue.put(*(delivery(at, message(sample(at, **names))) for at in range(500)))
        await until(lambda: len(queue.acked) == 500)
        store.here.set()
        await until(lambda: pipeline.stats()["spool_messages"] == 0)
        assert pipeline.stats()["telemetry_stored"] == 4999
    assert len(queue.letters) == 1
    assert store.asked <= 20  # one that tried the store with a few, log2(5,000) = 13, what was left


async def test_refusals_of_one_message_are_one_letter_a_reason(start: Start) -> None:
    queue, store = FakeQueue(), FakeStore()
    store.refuses = lambda each, name: "tag too long" if each.gpu.pod else ""
    samples = [
        Sample(Gpu(uuid=f"g{n}", pod="p" if n == 3 else ""), T0, {"a": 1.0, "b": 2.0})
        for n in range(8)
    ]
    async with start(queue, store) as pipeline:
        queue.put(delivery(0, message(*samples)))
        await until(lambda: queue.letters and pipeline.stats()["spool_messages"] == 0)
        assert pipeline.stats()["messages_errors"] == {"refused_by_store": 2}
        assert pipeline.stats()["telemetry_stored"] == 14
    (letter,) = queue.letters.values()
    assert decode_spooled(letter.payload) == [samples[3]]


async def test_letters_of_what_waited_on_the_disk_name_their_message(start: Start) -> None:
    away, queue = FakeStore(), FakeQueue()
    away.here.clear()
    async with start(queue, away):
        queue.put(ranged(5, b"nonsense", message(sample(1)), message(sample(2), sample(3))))
        await until(lambda: len(queue.acked) == 2)
    queue, store = FakeQueue(), FakeStore()
    store.refuses = lambda each, name: "refused" if each.timestamp == T0 + 3 else ""
    async with start(queue, store) as pipeline:
        await until(lambda: queue.letters and pipeline.stats()["spool_messages"] == 0)
    (letter,) = queue.letters.values()
    assert letter.offset == 7
    assert letter.id.startswith("b:0:7/")


async def test_what_the_guard_keeps_out_is_a_letter_and_the_rest_is_stored(start: Start) -> None:
    queue, store = FakeQueue(), FakeStore()
    pairs = [
        message(*(Sample(Gpu(uuid=uuid), T0 + at, {"a": 1.0}) for uuid in ("GPU-a", "GPU-b")))
        for at in range(3)
    ]
    async with start(queue, store, max_gpus=1, max_metrics=2) as pipeline:
        queue.put(ranged(0, *pairs, message(sample(7, a=1.0, b=1.0, c=1.0))))
        await until(lambda: len(queue.letters) == 4 and pipeline.stats()["spool_messages"] == 0)
        stats = pipeline.stats()
    assert stats["messages_errors"] == {"too_many_gpus": 3, "too_many_metric_names": 1}
    assert (stats["cardinality"]["gpus_refused"], stats["cardinality"]["gpus"]) == (3, 1)
    assert {(each.offset, each.error) for each in queue.letters.values()} == {
        *((at, "too_many_gpus") for at in range(3)),
        (3, "too_many_metric_names"),
    }
    assert {at: {*each.metrics} for at, each in store.stored.items()} == {
        **{at: {"a"} for at in range(3)},
        7: {"a", *store.stored[7].metrics},
    }
    assert len(store.stored[7].metrics) == 2


async def test_a_refusal_beside_what_the_guard_keeps_out_names_its_own_message(
    start: Start,
) -> None:
    queue, store = FakeQueue(), FakeStore()
    store.refuses = lambda each, name: "no" if each.timestamp == T0 + 3 else ""
    other = Sample(Gpu(uuid="GPU-b"), T0, {"a": 1.0})
    async with start(queue, store, max_gpus=1) as pipeline:
        queue.put(ranged(0, message(sample(1)), message(other), message(sample(2), sample(3))))
        await until(lambda: len(queue.letters) == 2 and pipeline.stats()["spool_messages"] == 0)
    assert {each.offset: each.error for each in queue.letters.values()} == {
        1: "too_many_gpus",
        2: "refused_by_store: no",
    }
    assert sorted(store.stored) == [1, 2]
