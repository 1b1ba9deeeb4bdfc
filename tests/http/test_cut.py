"""A client that does not read is dropped, not waited for."""

import socket
from pathlib import Path

from tests.support.broker import running_broker
from tests.support.client import TOKEN
from tests.support.waiting import until

REQUEST = (
    "GET /consume?topic=t&batch=100 HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n\r\n"
)


async def test_a_stream_nobody_reads_loses_its_socket_and_its_leases(tmp_path: Path) -> None:
    async with running_broker(tmp_path, send_timeout_seconds=0.1) as running:
        for _ in range(20):
            await running.client.produce("t", b"x" * 1_000_000, partition=0)
        before = open_descriptors()
        host, port = running.url.removeprefix("http://").split(":")
        deaf = socket.create_connection((host, int(port)))
        deaf.setblocking(False)
        with deaf:
            deaf.send(REQUEST.format(token=TOKEN).encode())
            await until(lambda: bool(running.broker.streams))
            await until(lambda: not running.broker.streams)
            await until(lambda: open_descriptors() == before + 1)
            row = await running.client.books("t", group="default")
            assert row["in_flight"] == 0


def open_descriptors() -> int:
    """Files and sockets this process has open, the server's among them."""
    return len(list(Path("/proc/self/fd").iterdir()))
