"""What an API's good clients notice of its bad ones.

``python -m benchmarks.hostile [--sockets N] [--requests N]`` starts the API as a process and asks
for a GPU's last points 200 times a second: first alone, then beside sockets that send half a head,
half a body, or do not read a large answer, each opened again when it was cut, and beside bombs:
gzip and zstd of 1000 to 1, 100,000 nested brackets, a head of 1 MiB. Bad clients are a thread of
this process, on the same cores. The API's limits are its defaults, but for half requests: these are
cut after 5 s, so that they end and begin all the time.
"""

import argparse
import asyncio
import contextlib
import gzip
import os
import threading
from collections import Counter
from collections.abc import Callable
from itertools import cycle

import zstandard

from benchmarks.api import (
    BIG,
    END,
    PORT,
    ask_paced,
    head_of,
    last_points,
    measured,
    peak_of,
    serving,
    show,
    until_up,
)

PER_SECOND = 200.0
BOMB_BYTES = 16 << 20
BOMB_PAUSE_SECONDS = 0.1
OPENED_AT_ONCE = 100
PATIENCE_SECONDS = 5.0
UNREAD = "unread"
DEADLINES = {"READ_TIMEOUT": "5"}


def main() -> None:
    """Ask alone, then beside the others, and print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=500)
    parser.add_argument("--requests", type=int, default=3_000)
    given = parser.parse_args()
    os.environ |= DEADLINES
    with serving() as (server, key):
        asyncio.run(until_up())
        asyncio.run(healthy(server.pid, key, given.requests, "alone"))
        foes = Foes(key, given.sockets)
        foes.start()
        asyncio.run(healthy(server.pid, key, given.requests, f"beside {given.sockets} sockets"))
        foes.stop()
        print(f"{'':36} bad clients: {dict(sorted(foes.ends.items()))}")


async def healthy(pid: int, key: str, requests: int, name: str) -> None:
    """A good client, and what it got."""
    lines = last_points(key, requests)
    show(name, "requests", await measured(pid, lambda: ask_paced(lines, PER_SECOND)))
    print(f"{'':36} peak memory of the API {peak_of(pid) >> 20} MiB")


class Foes:
    """Bad clients in a thread of their own; ``ends`` counts what became of their connections."""

    def __init__(self, key: str, sockets: int) -> None:
        self.ends: Counter[str] = Counter()
        self._kinds = slow_kinds(key)
        self._bombs = bombs(key)
        self._sockets = sockets
        self._opening = asyncio.Semaphore(OPENED_AT_ONCE)
        self._all_open = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def start(self) -> None:
        """Return when every socket was opened once."""
        self._thread.start()
        self._all_open.wait()

    def stop(self) -> None:
        """Close them all."""
        self._over.set()
        self._thread.join()

    async def _run(self) -> None:
        kinds = cycle(self._kinds.items())
        first = [asyncio.Event() for _ in range(self._sockets)]
        slow = [asyncio.create_task(self._hang(*next(kinds), opened)) for opened in first]
        for opened in first:
            await opened.wait()
        self._all_open.set()
        throwing = asyncio.create_task(self._throw())
        await asyncio.to_thread(self._over.wait)
        for task in (*slow, throwing):
            task.cancel()
        await asyncio.gather(*slow, throwing, return_exceptions=True)

    async def _hang(self, kind: str, sent: bytes, opened: asyncio.Event) -> None:
        """Open, send, do nothing more and see it end; again, unless what comes is never read."""
        while True:
            async with self._opening:
                reader, writer = await asyncio.open_connection("127.0.0.1", PORT, limit=1)
                writer.write(sent)
            opened.set()
            await asyncio.sleep(PATIENCE_SECONDS)
            if kind == UNREAD:
                await asyncio.Event().wait()
            with contextlib.suppress(OSError):
                await reader.read()
            writer.close()
            self.ends[f"{kind}: ended"] += 1

    async def _throw(self) -> None:
        for name, bomb in cycle(self._bombs.items()):
            reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
            writer.write(bomb)
            answer = await reader.readline()
            self.ends[f"{name}: {answer[9:12].decode()}"] += 1
            writer.close()
            await asyncio.sleep(BOMB_PAUSE_SECONDS)


def slow_kinds(key: str) -> dict[str, bytes]:
    """What a slow client of each kind sends."""
    export = f"GET /api/v1/gpus/{BIG}/telemetry/export?format=json "
    return {
        "half a head": b"GET /api/v1/gpus HTTP/1.1\r\nHost: be",
        "half a body": post(key, b"", 1000) + b'{"uuid"',
        UNREAD: (export + head_of(key) + END).encode(),
    }


def bombs(key: str) -> dict[str, bytes]:
    """Requests that are larger than they look."""
    squeezers: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "zstd": zstandard.compress,
    }
    found = {"nested": post(key, b"[" * 100_000), "large head": b"GET /" + b"x" * (1 << 20)}
    for encoding, squeeze in squeezers.items():
        body = squeeze(bytes(BOMB_BYTES))
        found[encoding] = post(key, body, headers=f"Content-Encoding: {encoding}{END}")
    return found


def post(key: str, body: bytes, length: int = 0, headers: str = "") -> bytes:
    """A request to store records, of which all or a part is there."""
    head = f"POST /api/v1/telemetry {head_of(key)}Content-Type: application/json{END}{headers}"
    return (head + f"Content-Length: {length or len(body)}{END}{END}").encode() + body


if __name__ == "__main__":
    main()
