"""One id from the client to the broker, whatever is asked: every service's lines carry it."""

import pytest
from pydantic import SecretStr

from common import logs
from common.errors import TelemetryError
from common.queue.http import open_session, request
from tests.support.client import TOKEN
from tests.support.faulty import FaultyBroker, http_answer, opened, path_of
from tests.support.proxy import running_proxy

RECEIPT = b'{"id": "a:0:0:ff"}'
ASKED = [
    ("POST", "/produce?topic=t", b"x"),
    ("POST", "/ack?topic=t", RECEIPT),
    ("POST", "/nack?topic=t", RECEIPT),
    ("POST", "/extend?topic=t", RECEIPT),
    ("GET", "/groups?topic=t", b""),
    ("GET", "/messages?topic=t", b""),
    ("GET", "/trace/a:0:0?topic=t", b""),
    ("POST", "/pause?topic=t", b""),
    ("POST", "/groups/g/seek?topic=t&to=earliest", b""),
    ("PUT", "/topics/t", b'{"partitions": 4}'),
    ("DELETE", "/topics/t", b""),
    ("GET", "/consume?topic=t", b""),
]


@pytest.mark.parametrize(("method", "path", "body"), ASKED)
async def test_the_proxy_passes_the_clients_id_on(method: str, path: str, body: bytes) -> None:
    broker = FaultyBroker("a", http_answer(404, {}))
    async with opened(broker), running_proxy({"a": broker.url}) as proxy:
        proxy.proxy.topics._counts["t"] = 4
        given = {"data": body, "headers": {"X-Request-ID": "mine"}}
        answer = await proxy.client.request(method, path, **given)
        assert answer.headers["X-Request-ID"] == "mine"
        heads = [head for head in broker.heads if path_of(head).startswith(path.split("/")[1][:3])]
    assert heads
    assert all(b"X-Request-ID: mine" in head for head in heads)


async def test_whoever_asks_the_queue_during_a_request_carries_its_id() -> None:
    broker = FaultyBroker("a", http_answer(503, {}))
    async with opened(broker):
        session = open_session(broker.url, SecretStr(TOKEN), 5.0)
        token = logs.request_id.set("of-the-api")
        try:
            with pytest.raises(TelemetryError):
                await request(session, "POST", "/produce?topic=t", data=b"x")
        finally:
            logs.request_id.reset(token)
            await session.close()
        (head,) = broker.requests("produce")
    assert b"X-Request-ID: of-the-api" in head
