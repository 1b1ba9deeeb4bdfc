"""Reads one group's messages from Redis Streams."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common import logs
from common.clock import Clock
from common.errors import TelemetryError
from common.queue.base import Delivery, Letter, Settled, Subscription
from common.queue.redis.link import GroupMissingError, RedisLink
from common.queue.redis.place import dead_key
from common.queue.redis.scripts import LAG, RECLAIM, RELEASE, TIDY, TOKEN_LENGTH
from common.queue.redis.settling import RedisSettling
from common.queue.redis.topic import RedisTopic
from common.retry import Backoff

log = logs.get("queue.redis")

BLOCK_MS = 500
FEW_BLOCK_MS = 20
CHORE_SECONDS = 0.5
ROOM_SECONDS = 0.1
FORGET_MS = 60_000
CLOSE_SECONDS = 2.0


class Entry(NamedTuple):
    """One entry of a stream; ``only_for`` is a group, or nothing for all of them."""

    offset: int
    attempt: int
    payload: bytes
    only_for: bytes


class RedisConsumer:
    """New messages as they come, and first those whose consumer has left them alone for too long.

    Entries that a lost answer brought are no different: they come again after that time.
    """

    def __init__(
        self, url: str, wanted: Subscription, tls_ca_file: Path | None, clock: Clock
    ) -> None:
        self._link = RedisLink(url, tls_ca_file, clock)
        self._names = topic, group = wanted.topic, wanted.group
        self._topic = RedisTopic(self._link, topic, group)
        self._settling = RedisSettling(self._link, topic, group)
        self._token = secrets.token_hex(TOKEN_LENGTH // 2)
        self._name = f"{wanted.instance_id}.{self._token}"
        self._max_in_flight, self._batch = wanted.max_in_flight, wanted.batch
        self._clock = clock
        self._in_flight = 0
        self._settled = asyncio.Event()
        self._chores_due = 0.0
        self._turn = 0
        self._lost = False

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """See ``Consumer``."""
        backoff = Backoff(self._clock)
        while True:
            try:
                async for delivery in self._read():
                    backoff.reset()
                    yield delivery
            except GroupMissingError:
                self._topic.streams = []
                self._note_loss("the group is gone and is made again")
            except TelemetryError as error:
                if error.retry_after_seconds is None and error.status < 500:
                    raise
                self._note_loss(f"{error.code}: {error.message}")
            await backoff.wait()

    async def ack(self, receipts: Sequence[str]) -> Settled:
        """See ``Consumer``."""
        return self._note_settled(await self._settling.ack(receipts))

    async def reject(self, receipts: Sequence[str], reason: str) -> Settled:
        """See ``Consumer``."""
        return self._note_settled(await self._settling.reject(receipts, reason))

    async def extend(self, receipts: Sequence[str], seconds: float) -> Settled:
        """See ``Consumer``."""
        return await self._settling.extend(receipts, seconds)

    async def bury(self, letters: Sequence[Letter]) -> None:
        """See ``Consumer``."""
        await self._settling.bury(letters)

    async def lag(self) -> int:
        """See ``Consumer``."""
        found: list[int] = []

        async def ask() -> None:
            streams = self._topic.streams
            group = self._names[1]
            found[:] = [await self._link.run(LAG, (stream,), group) for stream in streams]

        await self._topic.among(ask)
        return sum(found)

    async def close(self) -> None:
        """See ``Consumer``; a server that is away learns it by time."""
        with contextlib.suppress(TelemetryError, GroupMissingError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                for stream in self._topic.streams:
                    given = self._names[1], self._name, self._link.place.visibility_ms
                    await self._link.run(RELEASE, (stream,), *given)
        await self._link.close()

    def _note_settled(self, settled: Settled) -> Settled:
        self._in_flight = max(0, self._in_flight - settled.acked)
        if settled.acked:
            self._settled.set()
        return settled

    def _note_loss(self, reason: str) -> None:
        if not self._lost:
            log.warning("redis lost, trying again until it is back", reason=reason)
        self._lost = True

    async def _read(self) -> AsyncIterator[Delivery]:
        """Deliveries until something fails."""
        await self._topic.join()
        if self._lost:
            log.info("redis is back")
        self._lost = False
        while True:
            if not self._room:
                await self._wait_for_room()
            elif self._clock.monotonic() >= self._chores_due:
                await self._topic.join()
                for partition, stream in enumerate(self._topic.streams):
                    for delivery in await self._look_after(partition, stream):
                        yield delivery
                self._chores_due = self._clock.monotonic() + CHORE_SECONDS
            else:
                for delivery in await self._read_new():
                    yield delivery

    @property
    def _room(self) -> int:
        return max(0, self._max_in_flight - self._in_flight)

    async def _wait_for_room(self) -> None:
        """Until something is settled, by us or by who settles for us: then the server knows."""
        self._settled.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ROOM_SECONDS):
                await self._settled.wait()
                return
        words = ("XPENDING", self._names[1], "-", "+", self._max_in_flight + 1, self._name)
        counted = [
            len(await self._link.ask(words[0], stream, *words[1:]))
            for stream in self._topic.streams
        ]
        self._in_flight = sum(counted)

    async def _look_after(self, partition: int, stream: str) -> list[Delivery]:
        """Take what others left, and let go of what every group has settled."""
        place, (_, group) = self._link.place, self._names
        found = []
        if self._room:
            rows = await self._link.run(
                RECLAIM,
                (stream, dead_key(stream, group)),
                *(group, partition, self._name, place.visibility_ms),
                *(min(self._batch, self._room), place.max_deliveries),
            )
            found = await self._receive(partition, [_entry(*row) for row in rows])
        await self._link.run(TIDY, (stream,), group, max(FORGET_MS, 2 * place.visibility_ms))
        return found

    async def _read_new(self) -> list[Delivery]:
        """What is new, no more than there is room for, from each stream in its turn."""
        streams, room = self._topic.streams, self._room
        start, self._turn = self._turn, (self._turn + 1) % len(streams)
        chosen = [(start + step) % len(streams) for step in range(min(len(streams), room))]
        block = BLOCK_MS if len(chosen) == len(streams) else FEW_BLOCK_MS  # the others wait
        answer = await self._link.ask(
            *("XREADGROUP", "GROUP", self._names[1], self._name),
            *("COUNT", max(1, min(self._batch, room // len(chosen))), "BLOCK", block),
            *("STREAMS", *(streams[partition] for partition in chosen), *[">"] * len(chosen)),
        )
        places = {streams[partition].encode(): partition for partition in chosen}
        found: list[Delivery] = []
        for stream, rows in answer or ():
            entries = [_entry(row[0], 1, row[1]) for row in rows]
            found += await self._receive(places[stream], entries)
        return found

    async def _receive(self, partition: int, entries: list[Entry]) -> list[Delivery]:
        """Entries that follow on one another as one delivery; other groups' are passed over."""
        topic, group = self._names
        foreign = [each for each in entries if each.only_for not in (b"", group.encode())]
        if foreign:
            await self._settling.ack([self._receipt(partition, [each]) for each in foreign])
        ours = [each for each in entries if each not in foreign] if foreign else entries
        self._in_flight += len(ours)
        return [
            Delivery(
                self._receipt(partition, run),
                topic,
                partition,
                run[0].offset,
                run[0].attempt,
                [each.payload for each in run],
            )
            for run in runs_of(ours)
        ]

    def _receipt(self, partition: int, run: list[Entry]) -> str:
        first, last = run[0].offset, run[-1].offset
        span = f"{first}-{last}" if last > first else f"{first}"
        return f"redis:{partition}:{span}:{self._token}{run[0].attempt:x}"


def _entry(id_: bytes, attempt: int, fields: list[Any]) -> Entry:
    """One entry of a stream, as it is answered."""
    offset = int(id_[2:])
    if len(fields) == 2:  # almost all of them
        return Entry(offset, attempt, fields[1], b"")
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    return Entry(offset, attempt, named[b"p"], named.get(b"g", b""))


def runs_of(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Entries whose offsets follow on one another and that were delivered as often."""
    run: list[Entry] = []
    for entry in entries:
        if run and (entry.offset, entry.attempt) != (run[-1].offset + 1, run[-1].attempt):
            yield run
            run = []
        run.append(entry)
    if run:
        yield run
