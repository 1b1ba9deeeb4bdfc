"""What a broker holds after hours of coming and going: ``python -m benchmarks.churn``.

Producers (with and without keys, several durabilities), consumers that ack, nack, reject, extend
and leave, groups and topics that come and go, dead letters redriven and purged. A row a sample:
resident memory, descriptors, threads, tasks. Ends with 1 when the last third of the run held more
than the middle third.
"""

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
from yarl import URL

from benchmarks.ours import TOKEN, python_server
from benchmarks.usage import Usage, usage_of

TOPICS = 8
GROUPS = 5
BATCH = 20
LARGEST_BYTES = 2000
CATCH_UP_SECONDS = 0.2
SAMPLES = 60
LONGEST = 3  # whiles
SLACK_BYTES = 8 << 20
LOGS_SLACK_BYTES = 100 << 20
# Everything that is bounded is bounded low, so that it is full before the first third is over.
OPTIONS = {
    "SEGMENT_BYTES": "1MiB",
    "QUEUE_BYTES": "128KiB",
    "RETENTION": "1s",
    "RETENTION_CHECK": "1s",
    "RETENTION_BYTES": "4MiB",
    "IDEMPOTENCY_WINDOW": "2s",
    "RETRY_DELAY": "100ms",
    "LOG_LEVEL": "error",
}

Act = Callable[[aiohttp.ClientSession, random.Random], Coroutine[Any, Any, None]]


async def produce(session: aiohttp.ClientSession, chance: random.Random) -> None:
    """A batch to some topic, now and then with an idempotency key."""
    body = b"\n".join(b"x" * chance.randint(1, LARGEST_BYTES) for _ in range(BATCH))
    given = {"topic": some_topic(chance), "durability": chance.choice(["fsync", "disk", "memory"])}
    headers = {"Content-Type": "application/x-ndjson"}
    if chance.random() < 0.3:
        headers["Idempotency-Key"] = f"{chance.random()}"
    async with session.post("/produce", params=given, data=body, headers=headers) as answer:
        await answer.read()


async def consume(session: aiohttp.ClientSession, chance: random.Random) -> None:
    """A stream for a few events, each settled in some way, then gone."""
    given = {"topic": some_topic(chance), "group": some_group(chance), "batch": "100"}
    async with session.get("/consume", params=given) as stream:
        for _ in range(chance.randint(0, 20)):
            try:
                async with asyncio.timeout(0.2):
                    line = await stream.content.readuntil(b"\n")
            except (TimeoutError, ValueError):
                return
            if line.startswith(b"id: "):
                await settle(session, chance, given, line[4:].strip().decode())


async def settle(
    session: aiohttp.ClientSession, chance: random.Random, place: dict[str, str], receipt: str
) -> None:
    """Mostly ack; sometimes nack, reject, extend, or leave it."""
    verb, body = chance.choices(
        [
            ("ack", {}),
            ("nack", {"mode": "retry"}),
            ("nack", {"mode": "release"}),
            ("nack", {"mode": "reject"}),
            ("extend", {}),
        ],
        [20, 1, 1, 1, 1],
    )[0]
    given = {"topic": place["topic"], "group": place["group"]}
    async with session.post(f"/{verb}", params=given, json={"id": receipt} | body) as answer:
        await answer.read()


async def look(session: aiohttp.ClientSession, chance: random.Random) -> None:
    """What operators and scrapers do, and groups that go."""
    given = {"topic": some_topic(chance), "group": some_group(chance)}
    method, path = chance.choice(
        [
            ("GET", "/metrics"),
            ("GET", "/topics"),
            ("GET", "/groups"),
            ("GET", "/dlq"),
            ("DELETE", "/dlq"),
            ("POST", "/dlq/redrive"),
            ("POST", f"/groups/{given['group']}/seek?to=earliest"),
            ("DELETE", f"/groups/{given['group']}"),
        ]
    )
    async with session.request(method, URL(path).update_query(given)) as answer:
        await answer.read()


async def catch_up(session: aiohttp.ClientSession, chance: random.Random) -> None:
    """Every group of a topic goes on at its end, so that no backlog grows."""
    topic = some_topic(chance)
    for number in range(GROUPS):
        path = URL(f"/groups/group-{number}/seek").with_query(topic=topic, to="latest")
        async with session.post(path) as answer:
            await answer.read()
    await asyncio.sleep(CATCH_UP_SECONDS)


def some_topic(chance: random.Random) -> str:
    """One of TOPICS."""
    return f"topic-{chance.randrange(TOPICS)}"


def some_group(chance: random.Random) -> str:
    """One of GROUPS."""
    return f"group-{chance.randrange(GROUPS)}"


async def again_and_again(url: str, token: str, act: Act, seed: int) -> None:
    """Do one thing until cancelled, over a new connection every now and then."""
    chance = random.Random(seed)
    headers = {"Authorization": f"Bearer {token}"}
    while True:
        async with aiohttp.ClientSession(url, headers=headers) as session:
            for _ in range(chance.randint(1, 30)):
                with suppress(aiohttp.ClientError):
                    await act(session, chance)


@asynccontextmanager
async def churning(url: str, token: str) -> AsyncIterator[None]:
    """Everything comes and goes, all at once."""
    acts: list[Act] = [produce, produce, consume, consume, consume, look, catch_up]
    tasks = [
        asyncio.create_task(again_and_again(url, token, act, seed))
        for seed, act in enumerate(acts, start=1)
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def watch(url: str, pid: int, seconds: float) -> list[Usage]:
    """What the broker holds at SAMPLES moments of a while."""
    began, held = time.monotonic(), []
    for number in range(1, SAMPLES + 1):
        await asyncio.sleep(max(0.0, began + number * seconds / SAMPLES - time.monotonic()))
        held.append(await usage_of(pid, url))
    return held


async def churn(url: str, token: str, pid: int, seconds: float) -> list[Usage]:
    """What the broker held at moments of a while of everything, LONGEST whiles if it still grows.

    A heap that warms up comes to an end, later on a busy machine; a leak shows the more, the longer
    the thirds are.
    """
    held: list[Usage] = []
    async with churning(url, token):
        for _ in range(LONGEST):
            held += await watch(url, pid, seconds)
            if not growth(held):
                break
    return held


def growth(held: list[Usage]) -> list[str]:
    """What the last third held more than the middle third; empty when all is flat."""
    third = len(held) // 3
    middle, last = held[third : 2 * third], held[2 * third :]
    found = []
    for name, slack in zip(Usage._fields, (SLACK_BYTES, 16, 0, 64, LOGS_SLACK_BYTES), strict=True):
        before, after = (max(getattr(usage, name) for usage in part) for part in (middle, last))
        if after > before + slack:
            found.append(f"{name}: {before} in the middle third, {after} in the last")
    return found


def show(held: list[Usage], seconds: float) -> None:
    """A table of a tenth of the samples."""
    print("| seconds | MiB resident | MiB of logs | descriptors | threads | tasks |")
    print("| --- | --- | --- | --- | --- | --- |")
    moments = itertools.count(1)
    for moment, usage in zip(moments, held, strict=False):
        if moment % (SAMPLES // 10) == 0:
            sizes = f"{usage.rss / (1 << 20):.1f} | {usage.logs / (1 << 20):.1f}"
            counts = f"{usage.descriptors} | {usage.threads} | {usage.tasks}"
            print(f"| {moment * seconds / SAMPLES:.0f} | {sizes} | {counts} |")


def main() -> None:
    """Run against a broker of its own and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    seconds, token = parser.parse_args().minutes * 60, TOKEN.get_secret_value()
    with tempfile.TemporaryDirectory() as directory:
        environment = OPTIONS | {"DATA_DIR": directory, "SERVICE_TOKEN": token}
        with python_server(["-m", "broker"], environment) as broker:
            held = asyncio.run(churn(broker.address, token, broker.pids[0], seconds))
    show(held, seconds)
    found = growth(held)
    print("\n".join(found) or "flat")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
