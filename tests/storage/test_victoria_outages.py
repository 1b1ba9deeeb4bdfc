"""VictoriaMetrics killed, paused and answering badly: what returned is there, each point once."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.errors import StoreUnavailable
from common.storage.base import StoreRefused, WriteRefused
from common.storage.victoria.answers import understood
from common.storage.victoria.link import Link, Places
from tests.storage.samples import points
from tests.storage.test_influx_outages import fleet
from tests.support.answering import Told, answering
from tests.support.stores import OpenStore, opening_db
from tests.support.victoria import VictoriaMetrics, running_victoria

ONE = b'{"metric":{"__name__":"m","gpu":"a"},"values":[1],"timestamps":[1752871354000]}\n'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VictoriaMetrics]:
    with running_victoria(tmp_path) as server:
        yield server


@pytest.fixture
def open_it(server: VictoriaMetrics) -> Iterator[OpenStore]:
    yield from opening_db(server, "outages")


def test_killed_in_the_middle_of_a_write_again_and_again(
    server: VictoriaMetrics, open_it: OpenStore
) -> None:
    store = open_it()
    unanswered, written = 0, 0
    killed = threading.Event()

    def write() -> None:
        nonlocal unanswered, written
        while not killed.is_set():
            try:
                store.write(fleet(written))
                written += 1
            except StoreUnavailable:
                unanswered += 1
                time.sleep(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    chance = random.Random(3)
    for _ in range(3):
        before = written
        while written == before and writer.is_alive():  # each of its lives takes a write
            time.sleep(0.005)
        time.sleep(chance.uniform(0.0, 0.05))
        server.kill()
        server.start()
    killed.set()
    writer.join()
    while True:
        try:
            store.write(fleet(written))  # the one that may have been cut off
            break
        except StoreUnavailable:
            unanswered += 1
    calls = written + 1
    assert unanswered
    server.kill()
    server.start()
    stats = store.stats()
    assert (stats.samples, stats.points) == (calls * 400, calls * 400 * 2)
    record = store.gpu("GPU-7")
    assert record is not None
    assert (record.points, record.gpu.hostname) == (calls * 10 * 2, "host-7")
    expected = [each for call in range(calls) for each in fleet(call)]
    values = [s.metrics["util"] for s in expected if s.gpu.uuid == "GPU-7"]
    assert [p.value for p in points(store, "GPU-7", metrics=("util",))] == values


def test_what_returned_survives_a_kill(server: VictoriaMetrics, open_it: OpenStore) -> None:
    store = open_it()
    store.write(fleet(0))
    server.kill()
    for ask in (lambda: store.write(fleet(1)), store.stats, store.check, store.gpu_ids):
        with pytest.raises(StoreUnavailable) as raised:
            ask()
        assert not isinstance(raised.value, StoreRefused)
    server.start()
    assert store.stats().points == 800
    store.write(fleet(0))
    assert store.stats().points == 800


def test_a_server_that_hangs_is_given_up_and_written_to_again(
    server: VictoriaMetrics, open_it: OpenStore
) -> None:
    store = open_it(victoriametrics_timeout_seconds=4.0)
    hasty = open_it(writable=False, victoriametrics_timeout_seconds=0.2)
    store.write(fleet(0))
    server.pause()
    try:
        for ask in (hasty.stats, hasty.check, lambda: store.write(fleet(1))):
            with pytest.raises(StoreUnavailable, match="does not answer"):
                ask()
    finally:
        server.go_on()
    patient = open_it()
    patient.write(fleet(1))
    patient.write(fleet(1))
    assert patient.stats().points == 1_600


ASKS: dict[str, Callable[[Link], object]] = {
    "ask": lambda link: link.ask("m", 0),
    "export": lambda link: list(link.export(["m"], 0, 1)),
    "values": lambda link: link.values("gpu", ["m"], 0, 1),
}


def link_to(url: str) -> Link:
    return Link(Places.single(url), {}, 2.0)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, StoreRefused),
        (401, StoreRefused),
        (404, StoreRefused),
        (302, StoreRefused),
        (413, WriteRefused),
        (429, StoreUnavailable),
        (500, StoreUnavailable),
        (503, StoreUnavailable),
    ],
)
def test_what_an_answer_to_a_write_means(status: int, error: type[Exception]) -> None:
    headers = {"Retry-After": "7", "Location": "http://127.0.0.1:1/"}
    with answering(Told(status, b"its own words", headers)) as server:
        with pytest.raises(
            error, match=f"answered {status} to /api/v1/import: its own words"
        ) as raised:
            link_to(server.url).send([ONE])
        assert isinstance(raised.value, StoreRefused) == (error is StoreRefused)
        if error is StoreUnavailable:
            assert raised.value.retry_after_seconds == 7.0  # type: ignore[attr-defined]
        assert [path for path, _ in server.asked] == ["/api/v1/import"]  # no redirect is followed


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize(
    "told",
    [
        Told(200, b"<html>hello</html>"),
        Told(200, b'{"status":"success"}'),
        Told(200, ONE[:-9]),
        Told(200, ONE * 3, cut=40),
        Told(200, ONE * 3, cut=40, chunked=True),
        Told(200, b'{"metric":{},"values":["x"],"timestamps":[1]}\n'),
        Told(422, b"too many samples"),
    ],
    ids=["html", "no-data", "half-line", "cut", "cut-chunks", "text", "unanswerable"],
)
def test_an_answer_that_is_broken_is_never_an_empty_one(ask: str, told: Told) -> None:
    with (
        answering(told) as server,
        pytest.raises(StoreUnavailable),
        understood("the server"),
    ):
        ASKS[ask](link_to(server.url))
