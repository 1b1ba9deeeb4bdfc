"""Clients that send too much, too slowly, or do not read: bounded, and the others are served."""

import asyncio
import contextlib
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import zstandard
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from common.errors import TooLarge
from common.http.body import inflate, read_body
from tests.http.raw import CREDENTIAL, Wire, get, wire
from tests.http.test_service import Sample, echo, serving
from tests.support.ports import free_port
from tests.support.process import ServiceProcess
from tests.support.proxy import until

SHORT_SECONDS = 0.15
LONG_SECONDS = 30.0
STOPPED_SECONDS = 4.0  # half of it must be more than a busy machine takes to stop one
FLOOD_BYTES = 64 << 20
UNREAD_BYTES = 2 << 20
BODY_BYTES = 1 << 20


class Rooms:
    """Endpoints that read, write and wait, and remember how it ended."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.flooded = 0
        self.ended = 0

    async def read(self, request: Request) -> Response:
        """Answer the size of the body."""
        body = await read_body(request.scope, request.receive, BODY_BYTES)
        return PlainTextResponse(str(len(body)))

    async def flood(self, request: Request) -> Response:
        """Send much more than any buffer holds."""
        return StreamingResponse(self._flood())

    async def _flood(self) -> AsyncIterator[bytes]:
        try:
            while self.flooded < FLOOD_BYTES:
                yield b"x" * (1 << 16)
                await asyncio.sleep(0)  # as whoever reads a file or a store must
                self.flooded += 1 << 16
        finally:
            self.ended += 1

    async def wait(self, request: Request) -> Response:
        """Answer when told to."""
        await self.go_on.wait()
        return PlainTextResponse("at last")

    def routes(self) -> list[Route]:
        return [
            Route("/echo", echo),
            Route("/read", self.read, methods=["POST"]),
            Route("/flood", self.flood),
            Route("/wait", self.wait),
        ]


@contextlib.asynccontextmanager
async def rooms(**given: object) -> AsyncIterator[tuple[Rooms, str]]:
    found = Rooms()
    async with serving(Sample(), found.routes(), **given) as url:
        yield found, url


def post(length: int) -> bytes:
    """The head of a post with a body of so many bytes."""
    return b"POST /read HTTP/1.1\r\nHost: a\r\n%bContent-Length: %d\r\n\r\n" % (CREDENTIAL, length)


async def serves(url: str) -> bool:
    """Whether another client is served."""
    async with wire(url) as connection:
        await connection.send(get("/echo"))
        return (await connection.answer()).status == 200


class TestHeads:
    @pytest.mark.parametrize(
        "head",
        [
            get("/echo", b"X: " + b"x" * (1 << 20)),
            get("/echo", *(b"X-%d: 1" % n for n in range(20_000))),
            get("/echo", *(b"X-%d: 1" % n for n in range(101))),
            get("/echo?" + "x" * 40_000),
            get("/" + "x" * (1 << 20)),
            get("/echo", b"x" * 40_000 + b": 1"),
        ],
        ids=["1 MiB header", "20,000 headers", "101 headers", "long query", "long path", "name"],
    )
    async def test_too_large_is_431(self, head: bytes) -> None:
        async with rooms() as (_, url):
            async with wire(url) as connection:
                await connection.send(head)
                answer = await connection.answer()
                assert (answer.status, answer.code) == (431, "HEADERS_TOO_LARGE")
                assert await connection.rest() == b""
            assert await serves(url)

    async def test_a_head_that_never_ends_is_cut_when_it_is_too_large(self) -> None:
        async with rooms() as (_, url), wire(url) as connection:
            await connection.send(b"GET /echo HTTP/1.1\r\nHost: a\r\n")
            for number in range(40):
                await connection.send(b"X-%d: %b\r\n" % (number, b"x" * 1000))
            assert (await connection.answer()).code == "HEADERS_TOO_LARGE"

    async def test_a_large_body_is_no_large_head(self) -> None:
        async with rooms(max_header_bytes=1024) as (_, url), wire(url) as connection:
            for _ in range(3):
                await connection.send(post(500_000) + b"x" * 500_000)
                assert (await connection.answer()).body == b"500000"

    async def test_each_head_of_a_connection_has_its_own_allowance(self) -> None:
        async with rooms(max_header_bytes=1024) as (_, url), wire(url) as connection:
            for _ in range(10):
                await connection.send(get("/echo", b"X: " + b"x" * 500))
                assert (await connection.answer()).status == 200


class TestSlowSenders:
    @pytest.mark.parametrize(
        "sent",
        [b"", b"GET /echo HT", b"GET /echo HTTP/1.1\r\nHost: a\r\nX: ", post(100), post(9) + b"x"],
        ids=["nothing", "half a line", "half a head", "no body", "half a body"],
    )
    async def test_a_request_that_stays_half_is_cut(self, sent: bytes) -> None:
        async with rooms(read_timeout_seconds=SHORT_SECONDS) as (_, url), wire(url) as connection:
            await connection.send(sent)
            answer = await connection.answer()
            assert (answer.status, answer.code) == (408, "REQUEST_TIMEOUT")
            assert answer.headers["retry-after"] == "1"
            assert await connection.rest() == b""

    async def test_a_drop_now_and_then_does_not_help(self) -> None:
        async with rooms(read_timeout_seconds=SHORT_SECONDS) as (_, url), wire(url) as connection:
            await connection.send(post(1000))
            while await connection.is_open(SHORT_SECONDS / 10):
                await connection.send(b"x")

    async def test_the_time_of_the_service_is_not_the_clients(self) -> None:
        """A service that takes its time, and a connection between requests, are not cut."""
        async with (
            rooms(read_timeout_seconds=SHORT_SECONDS) as (found, url),
            wire(url) as connection,
        ):
            for _ in range(2):
                found.go_on.clear()
                await connection.send(get("/wait"))
                assert await connection.is_open(3 * SHORT_SECONDS)
                found.go_on.set()
                assert (await connection.answer()).body == b"at last"
                assert await connection.is_open(3 * SHORT_SECONDS)

    async def test_the_time_in_which_a_service_was_stopped_is_not_the_clients(
        self, tmp_path: Path
    ) -> None:
        limits = {"READ_TIMEOUT": str(STOPPED_SECONDS / 2)}
        broker = ServiceProcess("broker", tmp_path / "broker", free_port(), limits)
        await broker.start()
        try:
            async with wire(broker.url) as connection:
                await connection.send(b"GET /health HTTP/1.1\r\nHo")
                broker.pause()
                await connection.send(b"st: a\r\n\r\n")
                await asyncio.sleep(STOPPED_SECONDS)  # the stop is the fault
                broker.go_on()
                assert (await connection.answer()).status == 200
        finally:
            await broker.kill()

    async def test_an_answer_under_way_is_not_torn_by_what_follows_its_request(self) -> None:
        async with rooms(read_timeout_seconds=SHORT_SECONDS) as (found, url):
            for behind in (b"garbage\r\n\r\n", b"GET /half", get("/echo", b"X: " + b"x" * 40_000)):
                found.go_on.clear()
                async with wire(url) as connection:
                    await connection.send(get("/wait") + behind)
                    assert await connection.is_open(3 * SHORT_SECONDS)
                    found.go_on.set()
                    assert (await connection.answer()).body == b"at last"
                    assert await connection.rest() == b""

    async def test_five_hundred_of_each_kind_leave_room_for_others(self) -> None:
        async with (
            rooms(read_timeout_seconds=2.0) as (_, url),
            contextlib.AsyncExitStack() as stack,
        ):
            slow: list[Wire] = []
            for sent in (b"", b"GET /echo HTTP/1.1\r\nX: ", post(100) + b"x"):
                for _ in range(500):
                    connection = await stack.enter_async_context(wire(url))
                    await connection.send(sent)
                    slow.append(connection)
            for _ in range(20):
                assert await serves(url)
            for connection in slow:
                await connection.rest()


class TestSlowReaders:
    async def test_one_that_does_not_read_is_cut_and_the_answer_ends(self) -> None:
        async with rooms(write_timeout_seconds=SHORT_SECONDS) as (found, url), wire(url) as one:
            await one.send(get("/flood"))
            await until(lambda: found.ended == 1)
            assert found.flooded < UNREAD_BYTES
            assert await serves(url)

    async def test_five_hundred_of_them_hold_little(self) -> None:
        async with rooms(write_timeout_seconds=LONG_SECONDS) as (found, url):
            async with contextlib.AsyncExitStack() as stack:
                for _ in range(500):
                    connection = await stack.enter_async_context(wire(url))
                    await connection.send(get("/flood"))
                assert await serves(url)
            await until(lambda: found.ended == 500)

    async def test_one_that_reads_slowly_gets_everything(self) -> None:
        async with rooms(write_timeout_seconds=2.0) as (_, url), wire(url) as connection:
            await connection.send(get("/flood", b"Connection: close"))
            assert len(await connection.rest()) > FLOOD_BYTES


class TestConnections:
    async def test_over_the_cap_only_probes_are_answered(self) -> None:
        async with rooms(max_connections=3) as (_, url), contextlib.AsyncExitStack() as stack:
            held = [await stack.enter_async_context(wire(url)) for _ in range(3)]
            for connection in held:
                await connection.send(get("/echo"))
                assert (await connection.answer()).status == 200
            async with wire(url) as extra:
                await extra.send(get("/echo"))
                answer = await extra.answer()
                assert (answer.status, answer.code) == (429, "OVERLOADED")
                assert int(answer.headers["retry-after"]) >= 1
                assert await extra.rest() == b""
            for probe in ("/health", "/ready", "/metrics"):
                async with wire(url) as extra:
                    await extra.send(get(probe, b"Connection: close"))
                    assert b" 200 " in (await extra.rest())[:20]
            for connection in held:
                await connection.send(get("/echo"))
                assert (await connection.answer()).status == 200

    async def test_far_over_it_nobody_is(self) -> None:
        async with rooms(max_connections=1) as (_, url), contextlib.AsyncExitStack() as stack:
            held = [await stack.enter_async_context(wire(url)) for _ in range(66)]
            assert await held[0].is_open(SHORT_SECONDS)
            assert not await held[-1].is_open(SHORT_SECONDS)


@pytest.mark.parametrize(
    ("squeeze", "encoding"), [(gzip.compress, b"gzip"), (zstandard.compress, b"zstd")]
)
def test_a_bomb_is_refused_before_it_is_large(
    squeeze: Callable[[bytes], bytes], encoding: bytes
) -> None:
    bomb = squeeze(bytes(256 << 20))
    assert len(bomb) < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            inflate(bomb, encoding, BODY_BYTES)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
