"""The consumer over the wire: it comes back from everything but a request that is wrong."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from common.errors import InvalidRequest, Unauthorized
from common.http import sse
from common.queue import http
from common.queue.base import Delivery
from common.queue.http import HttpConsumer, HttpProducer
from tests.queue.test_events import event
from tests.support.broker import running_broker
from tests.support.client import TOKEN
from tests.support.faulty import FaultyBroker, Gate, http_answer, opened

GOOD = http_answer(200, sse.encode("batch", "", b"\n".join(event("lines", 1, b"x"))))
GONE_WRONG = [
    b"",
    b"no http at all\r\n\r\n",
    http_answer(500, b"oops"),
    http_answer(500, {"error": {"code": "INTERNAL", "message": "a bug", "details": None}}),
    http_answer(408, {"error": {"code": "REQUEST_TIMEOUT", "message": "", "details": None}}),
    http_answer(503, {"error": {"code": "UNAVAILABLE", "message": "", "details": None}}),
    http_answer(302, b"", Location="http://127.0.0.1:1/"),
    http_answer(200, b"event: batch\ndata: {\n\n", Content_Type="text/event-stream"),
    http_answer(200, sse.encode("batch", "", b"\n".join(event("lines", 9, b"one")))),
    b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nevent: ba",
]


@contextlib.asynccontextmanager
async def consumer_of(url: str, token: str = TOKEN, total: int = 10) -> AsyncIterator[HttpConsumer]:
    consumer = HttpConsumer(url, SecretStr(token), "t", "g", total, 5)
    try:
        yield consumer
    finally:
        await consumer.close()


async def first(consumer: HttpConsumer) -> Delivery:
    """The next delivery of a new stream."""
    async with contextlib.aclosing(consumer.deliveries()) as deliveries:  # type: ignore[type-var]
        return await anext(deliveries)


@pytest.mark.parametrize("answer", GONE_WRONG)
async def test_a_stream_that_goes_wrong_is_opened_again(answer: bytes) -> None:
    broker = FaultyBroker("a", answer)
    async with opened(broker), consumer_of(broker.url) as consumer:
        broker.then(GOOD, after=3)
        assert (await first(consumer)).payloads == [b"x"]
    assert len(broker.requests("consume")) == 4


async def test_a_stream_that_is_cut_comes_back_with_what_was_not_acked(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker:
        gate = Gate(broker.url)
        async with opened(gate), consumer_of(gate.url) as consumer:
            await broker.client.produce_lines("t", b"1", b"2", partition=0)
            async with contextlib.aclosing(consumer.deliveries()) as deliveries:  # type: ignore[type-var]
                assert (await anext(deliveries)).payloads == [b"1", b"2"]
                await gate.shut()
                await gate.open()
                again = await anext(deliveries)
            assert (again.payloads, again.attempt) == ([b"1", b"2"], 2)


async def test_an_event_over_the_limit_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_EVENT_BYTES", 1000)
    broker = FaultyBroker("a", http_answer(200, b"data: " + b"x" * 5000))
    async with opened(broker), consumer_of(broker.url) as consumer:
        broker.then(GOOD, after=2)
        assert (await first(consumer)).payloads == [b"x"]


async def test_a_wrong_token_is_said_and_not_repeated(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker, consumer_of(broker.url, "wrong") as consumer:
        with pytest.raises(Unauthorized):
            await first(consumer)


async def test_a_request_that_is_wrong_is_said_and_not_repeated(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker, consumer_of(broker.url, total=0) as consumer:
        with pytest.raises(InvalidRequest, match="max_in_flight"):
            await first(consumer)


async def test_a_producer_meets_no_redirect() -> None:
    secret = FaultyBroker("secret", http_answer(200, {}))
    async with opened(secret):
        broker = FaultyBroker("a", http_answer(307, b"", Location=f"{secret.url}/produce"))
        async with opened(broker):
            producer = HttpProducer(broker.url, SecretStr(TOKEN))
            with pytest.raises(Exception, match="answered 307"):
                await producer.send("t", 0, [b"x"])
            await producer.close()
    assert secret.heads == []
