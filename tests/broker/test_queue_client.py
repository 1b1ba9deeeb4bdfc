"""The queue client of streamer and collector, against a real broker."""

from contextlib import AsyncExitStack, aclosing
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr

from common.errors import BrokerUnreachable, TopicConflict, Unauthorized
from common.queue.http import HttpConsumer, HttpProducer, as_error, read_batch
from tests.support.broker import RunningBroker, broker_process
from tests.support.client import TOKEN
from tests.support.ports import free_port

PAYLOADS = [b"plain", "\u2028 \N{GRINNING FACE}".encode(), b"\xff binary", b"in\rside", b"nul\0"]


def consumer_of(
    url: str, group: str = "g", token: str = TOKEN, batch: int | None = 10
) -> HttpConsumer:
    return HttpConsumer(url, SecretStr(token), "t", group, max_in_flight=100, batch=batch)


def producer_of(url: str, token: str = TOKEN) -> HttpProducer:
    return HttpProducer(url, SecretStr(token))


async def receive(consumer: HttpConsumer, count: int) -> list[bytes]:
    """Receive and ack ``count`` messages."""
    found: list[bytes] = []
    async with aclosing(consumer.deliveries()) as deliveries:  # type: ignore[type-var]
        async for delivery in deliveries:
            found += delivery.payloads
            assert (await consumer.ack([delivery.receipt])).acked == len(delivery.payloads)
            if len(found) >= count:
                return found
    raise AssertionError("the deliveries ended")


async def test_what_is_sent_is_delivered_and_acked(running: RunningBroker) -> None:
    producer, consumer = producer_of(running.url), consumer_of(running.url)
    assert await producer.partitions("t") == 4
    for payload in PAYLOADS:
        assert (await producer.send("t", 2, [payload])).count == 1
    assert (await producer.send("t", 2, PAYLOADS)).offset == len(PAYLOADS)
    assert await receive(consumer, 2 * len(PAYLOADS)) == PAYLOADS * 2
    await producer.close()
    await consumer.close()


async def test_without_batches_each_message_is_a_delivery(running: RunningBroker) -> None:
    producer, consumer = producer_of(running.url), consumer_of(running.url, batch=None)
    await producer.send("t", 2, PAYLOADS)
    async with aclosing(consumer.deliveries()) as deliveries:  # type: ignore[type-var]
        found = [await anext(deliveries) for _ in PAYLOADS]
    assert [delivery.payloads for delivery in found] == [[payload] for payload in PAYLOADS]
    assert [delivery.offset for delivery in found] == list(range(len(PAYLOADS)))
    assert [delivery.receipts() for delivery in found] == [[d.receipt] for d in found]
    await producer.close()
    await consumer.close()


async def test_each_message_of_a_delivery_can_be_settled_by_itself(running: RunningBroker) -> None:
    producer, consumer = producer_of(running.url), consumer_of(running.url)
    await producer.send("t", 2, [b"a", b"b", b"c"])
    async with aclosing(consumer.deliveries()) as deliveries:  # type: ignore[type-var]
        delivery = await anext(deliveries)
        first, *rest = delivery.receipts()
        assert (await consumer.ack([first])).acked == 1
        assert (await running.client.books("t", 2, "g"))["in_flight"] == 2
        settled = await consumer.ack([first, *rest])
        assert (settled.acked, settled.already) == (2, 1)
    await producer.close()
    await consumer.close()


@pytest.mark.parametrize("payload", [b"", b"two\nlines", b"ends in cr\r"])
async def test_a_payload_that_would_change_on_the_way_is_refused(
    running: RunningBroker, payload: bytes
) -> None:
    producer = producer_of(running.url)
    with pytest.raises(ValueError, match="one line"):
        await producer.send("t", 0, [b"fine", payload])
    await producer.close()


async def test_a_late_ack_says_so_and_raises_nothing(running: RunningBroker) -> None:
    await running.client.produce("t", b"x", partition=0)
    consumer = consumer_of(running.url)
    await receive(consumer, 1)
    settled = await consumer.ack(["broker-0:0:9:ff"])
    assert (settled.acked, settled.refused) == (0, {"broker-0:0:9:ff": "STALE"})
    await consumer.close()


async def test_a_wrong_token_is_no_reason_to_try_again(running: RunningBroker) -> None:
    producer, consumer = producer_of(running.url, "wrong"), consumer_of(running.url, token="wrong")
    with pytest.raises(Unauthorized):
        await producer.partitions("t")
    with pytest.raises(Unauthorized):
        await receive(consumer, 1)
    await producer.close()
    await consumer.close()


async def test_nobody_there_is_a_reason_to_try_again() -> None:
    producer = producer_of(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(BrokerUnreachable) as refused:
        await producer.partitions("t")
    assert refused.value.retry_after_seconds
    await producer.close()


async def test_a_consumer_goes_on_after_the_broker_was_killed(tmp_path: Path) -> None:
    async with broker_process(tmp_path / "data") as broker, AsyncExitStack() as stack:
        producer, consumer = producer_of(broker.url), consumer_of(broker.url)
        stack.push_async_callback(producer.close)
        stack.push_async_callback(consumer.close)
        await producer.send("t", 0, [b"before"])
        deliveries = consumer.deliveries()
        assert (await anext(deliveries)).payloads == [b"before"]
        await broker.kill()
        await broker.start()
        again = await anext(deliveries)
        assert (again.payloads, again.attempt) == ([b"before"], 1)
        assert (await consumer.ack([again.receipt])).acked == 1


@pytest.mark.parametrize("lines", [[b"{"], [b"{}"], [b"[]", b"x"]])
def test_an_event_that_is_no_batch_is_a_broken_stream(lines: list[bytes]) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        read_batch(lines)


async def test_errors_arrive_as_what_they_were(running: RunningBroker) -> None:
    await running.client.request("PUT", "/topics/t", data=b'{"partitions": 2}')
    answer = await running.client.request("PUT", "/topics/t", data=b'{"partitions": 1}')
    assert isinstance(as_error(answer.status, answer.body), TopicConflict)


@pytest.mark.parametrize("batch", [None, 10])
async def test_messages_as_large_as_may_be_produced_come_whole(
    running: RunningBroker, batch: int | None
) -> None:
    consumer = consumer_of(running.url, batch=batch)
    most = running.broker.options.max_body_bytes
    payloads = [bytes([65 + n]) * size for n, size in enumerate((300_000, 600_000, 5 << 20, most))]
    try:
        for payload in payloads:
            answer = await running.client.produce("t", BytesIO(payload), partition=0)  # type: ignore[arg-type]
            assert answer.status == 200
        assert await receive(consumer, len(payloads)) == payloads
    finally:
        await consumer.close()
    above = await running.client.produce("t", BytesIO(b"x" * (most + 1)), partition=0)  # type: ignore[arg-type]
    assert above.status == 413
