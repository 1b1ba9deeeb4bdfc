"""What each answer of a server means, where the real one cannot be made to give it."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from common.errors import StoreUnavailable
from common.storage.answers import MAX_RETRY_AFTER_SECONDS
from common.storage.base import (
    GpuFilter,
    StoreRefused,
    TelemetryQuery,
    WindowQuery,
    WriteRefused,
)
from common.storage.influx.link import Link
from common.storage.influx.read import Reader
from common.storage.influx.store import InfluxStore
from tests.support.answering import AnsweringServer, Told, answering

SECRET = "canary-token-of-a-test"  # what must never be told
LINES = [b"gpu,gpu=a m=1 1752871354000"]
JSON = {"Content-Type": "application/json"}


def link_to(server: AnsweringServer) -> Link:
    return Link(server.url, SECRET, "fleet", "bucket", 0.5)


def said(code: str) -> bytes:
    return json.dumps({"code": code, "message": f"the words for {code}"}).encode()


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (400, said("invalid"), WriteRefused),
        (413, said("request too large"), WriteRefused),
        (413, b"<html>Request Entity Too Large</html>", WriteRefused),
        (422, said("unprocessable entity"), WriteRefused),
        (400, b"<html>what is this?</html>", StoreRefused),
        (422, b'{"error": "not the server we know"}', StoreRefused),
        (401, said("unauthorized"), StoreRefused),
        (403, said("forbidden"), StoreRefused),
        (404, said("not found"), StoreRefused),
        (405, b"", StoreRefused),
        (302, b"", StoreRefused),
        (429, said("too many requests"), StoreUnavailable),
        (500, said("internal error"), StoreUnavailable),
        (502, b"<html>Bad Gateway</html>", StoreUnavailable),
        (503, said("unavailable"), StoreUnavailable),
    ],
)
def test_what_an_answer_to_a_write_means(
    status: int, body: bytes, meaning: type[Exception]
) -> None:
    headers = JSON | ({"Location": "http://127.0.0.1:1/elsewhere"} if status == 302 else {})
    with answering(Told(status, body, headers)) as server, pytest.raises(meaning) as raised:
        link_to(server).send(LINES)
    assert type(raised.value) is meaning
    assert str(status) in str(raised.value)
    assert SECRET not in repr(raised.value)
    if body.startswith(b'{"code"'):
        assert json.loads(body)["message"] in str(raised.value)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured_in_seconds(status: int) -> None:
    told = Told(status, said("wait"), {"Retry-After": "17"})
    with answering(told) as server, pytest.raises(StoreUnavailable) as raised:
        link_to(server).send(LINES)
    assert raised.value.retry_after_seconds == 17


def test_retry_after_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    told = Told(429, b"", {"Retry-After": date})
    with answering(told) as server, pytest.raises(StoreUnavailable) as raised:
        link_to(server).send(LINES)
    assert 50 < (raised.value.retry_after_seconds or 0) <= 100


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("1e9", MAX_RETRY_AFTER_SECONDS), ("-5", 0.0), ("soon", 2.0), ("nan", 2.0)],
)
def test_a_retry_after_that_makes_no_sense_is_bounded(value: str, seconds: float) -> None:
    told = Told(503, b"", {"Retry-After": value})
    with answering(told) as server, pytest.raises(StoreUnavailable) as raised:
        link_to(server).send(LINES)
    assert raised.value.retry_after_seconds == seconds


HEAD = b",result,table,gpu,_time\r\n"


@pytest.mark.parametrize(
    "told",
    [
        Told(429, said("too many requests")),
        Told(500, said("internal error")),
        Told(400, said("invalid")),
        Told(200, b"<html>hello</html>"),
        Told(200, b"<html>\nhello\n</html>"),
        Told(200, b",error,reference\r\n,the shard is gone,897\r\n"),
        Told(200, HEAD + b",first,0,a,yesterday\r\n"),
        Told(200, HEAD + b",other,0,a,2025-07-18T20:42:34Z\r\n"),
        Told(200, HEAD + b",first,0,a,2025-07-18T20:42:34Z\r\n", cut=20),
        Told(200, HEAD + b",first,0,a,2025-07-18T20:42:34Z\r\n", cut=20, chunked=True),
        Told(200, HEAD + b",first,0,a,2025-07-18T20:42:34Z\r\n", cut=5, chunked=True),
        Told(200, HEAD + b"\xff\xfe\r\n"),
    ],
)
def test_an_answer_that_is_broken_is_never_an_empty_one(told: Told) -> None:
    with answering(told) as server, pytest.raises(StoreUnavailable):
        InfluxStore(link_to(server), writable=False).telemetry(TelemetryQuery("a", 10))


def test_an_answer_that_drips_is_given_up_in_time() -> None:
    told = Told(200, HEAD + b",first,0,a,2025-07-18T20:42:34Z\r\n" * 99, pause_seconds=0.01)
    with answering(told) as server, pytest.raises(StoreUnavailable, match="in time"):
        Reader(link_to(server)).gpu("a")


NASTY = ['" or true or "', '") |> drop(columns: ["a"]) //', "${_bucket}", "';--", "a\nb", "\\", "}"]


@pytest.mark.parametrize("text", NASTY)
def test_no_value_ever_stands_in_the_text_of_a_question(text: str) -> None:
    def questions(value: str) -> list[str]:
        with answering(Told(200)) as server:
            reader = Reader(link_to(server))
            reader.gpus(GpuFilter(value, value, value), 10, value, 0)
            reader.gpu(value)
            reader.gpu_metrics(value)
            reader.count_points(value, 0, 1)
            reader.telemetry(TelemetryQuery(value, 10, metrics=(value, "m")))
            reader.windows(WindowQuery(value, 60_000, "p95", 10, metrics=(value,)))
            reader.groups("hostname")
            reader.groups("namespace")
        return [json.loads(body)["query"] for _, body in server.asked]

    assert questions(text) == questions("harmless")
