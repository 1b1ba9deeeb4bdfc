"""Receiving from JetStream as one of a group."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import nats.errors

from common import logs
from common.clock import Clock
from common.errors import NotFound, TelemetryError
from common.queue.base import Delivery, Letter, Settled, Subscription
from common.queue.jetstream.ledger import PLACE, Arrived, NatsLedger
from common.queue.jetstream.link import NatsLink
from common.queue.jetstream.producer import NatsWriter
from common.queue.jetstream.pull import NatsPuller
from common.queue.jetstream.records import DELIVERY_LIMIT, LetterBox
from common.queue.jetstream.settings import as_telemetry_error, read_nats_url
from common.queue.jetstream.streams import Streams
from common.retry import Backoff
from common.wire import message_id

log = logs.get("queue")

ACK, GIVE_BACK, GO_ON, NEVER_AGAIN = b"+ACK", b"-NAK", b"+WPI", b"+TERM"
LOOK_SECONDS = 5.0
TRIM_SECONDS = 60.0


class NatsConsumer:
    """See ``Consumer``. A group is a durable pull consumer of the topic's stream.

    A lease is the consumer's ``ack_wait``, whatever ``extend`` is asked for: it begins anew.
    """

    def __init__(
        self, url: str, wanted: Subscription, tls_ca_file: Path | None, clock: Clock
    ) -> None:
        self._address = read_nats_url(url, tls_ca_file)
        self._topic, self._group = topic, group = wanted.topic, wanted.group
        self._clock = clock
        self._link = NatsLink(self._address, wanted.instance_id)
        self._streams = Streams(self._address, self._link)
        self._letters = LetterBox(NatsWriter(self._link), self._streams, topic, group, clock)
        self._ledger = NatsLedger(topic, wanted.max_in_flight, wanted.batch, clock)
        self._news = asyncio.Event()
        most = wanted.max_in_flight
        self._puller = NatsPuller(self._link, topic, group, most, clock, self._news)
        self._joined = False
        self._trimming: asyncio.Task[None] | None = None
        self._link.tell(self._lose)

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """See ``Consumer``."""
        if self._trimming is None:
            self._trimming = asyncio.create_task(self._trim(), name="jetstream-trim")
        backoff = Backoff(self._clock)
        lost = False
        while True:
            try:
                arrived = await self._sift(await self._next())
            except TelemetryError as error:
                if error.retry_after_seconds is None and error.status < 500:
                    raise
                if not lost:
                    log.warning("queue lost, trying again until it is back", reason=error.message)
                lost = True
                await backoff.wait()
                continue
            if lost:
                log.info("queue is back")
            lost = False
            backoff.reset()
            for delivery in self._ledger.take(arrived):
                yield delivery

    async def ack(self, receipts: Sequence[str]) -> Settled:
        """See ``Consumer``; one that the server never hears of comes again."""
        settled, messages = self._ledger.claim(receipts)
        await self._say(messages, ACK)
        with contextlib.suppress(TelemetryError):  # whoever takes deliveries hears of it
            await self._puller.ask(self._ledger.room)
        self._news.set()
        return settled

    async def reject(self, receipts: Sequence[str], reason: str) -> Settled:
        """See ``Consumer``."""
        _, messages = self._ledger.look(receipts)
        await self._letters.put([_letter(each, reason) for each in messages])
        settled, messages = self._ledger.claim(receipts)
        await self._say(messages, NEVER_AGAIN)
        self._news.set()
        return settled

    async def extend(self, receipts: Sequence[str], seconds: float) -> Settled:
        """See ``Consumer``."""
        settled, messages = self._ledger.look(receipts)
        await self._say(messages, GO_ON)
        self._ledger.extend(messages)
        return settled

    async def bury(self, letters: Sequence[Letter]) -> None:
        """See ``Consumer``."""
        await self._letters.put(letters)

    async def lag(self) -> int:
        """See ``Consumer``."""
        found = await self._streams.find_group(self._topic, self._group)
        if found is not None:
            return int(found.num_pending) + int(found.num_ack_pending)
        stream = await self._streams.find(self._topic)
        return int(stream.state.messages) if stream is not None else 0

    async def close(self) -> None:
        """See ``Consumer``."""
        if self._trimming is not None:
            self._trimming.cancel()
            await asyncio.wait([self._trimming])
        try:
            await self._puller.stop()
            await self._say([*self._ledger.drain(), *self._puller.arrived], GIVE_BACK)
        except (TelemetryError, nats.errors.Error, OSError) as error:
            log.warning("what is not acked comes again later", reason=str(error))
        await self._link.close()

    async def _next(self) -> list[Arrived]:
        """Wait for messages; the stream and the group are made when they are not there."""
        if not self._joined or self._puller.problem:
            await self._join()
        while not self._puller.arrived:
            self._news.clear()
            await self._puller.ask(self._ledger.room)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._news.wait()
            if self._puller.problem:
                raise NotFound(self._puller.problem, retry_after_seconds=1.0)
        arrived, self._puller.arrived = self._puller.arrived, []
        return arrived

    async def _join(self) -> None:
        self._puller.problem = ""
        await self._streams.ensure(self._topic)
        found = await self._streams.ensure_group(self._topic, self._group)
        if found.config.ack_wait:
            self._ledger.lease_seconds = float(found.config.ack_wait)
        self._puller.reset()
        self._joined = True

    async def _sift(self, arrived: list[Arrived]) -> list[Arrived]:
        """Leave out what is another group's, and, as dead letters, what came too often."""
        most = self._address.max_deliveries
        kept: list[Arrived] = []
        spent: list[Arrived] = []
        strange: list[Arrived] = []
        for each in arrived:
            if each.group and each.group != self._group:
                strange.append(each)
            else:
                (kept if each.attempt <= most else spent).append(each)
        await self._say(strange, ACK)
        words = f"delivered {most} times and never acked"
        await self._letters.put([_letter(each, words) for each in spent], DELIVERY_LIMIT)
        await self._say(spent, NEVER_AGAIN)
        return kept

    async def _say(self, messages: Sequence[Arrived], word: bytes) -> None:
        if not messages:
            return
        try:
            client = await self._link.open()
            for message in messages:
                await client.publish(message.reply, word)
        except Exception as error:
            raise as_telemetry_error(error) from error

    async def _trim(self) -> None:
        """Let go of what every group has settled, some time after that, for ever."""
        seen: deque[tuple[float, int]] = deque()
        while True:
            await self._clock.sleep(TRIM_SECONDS)
            try:
                now = self._clock.monotonic()
                seen.append((now, await self._streams.settled_before(self._topic)))
                upto = 0
                while seen and seen[0][0] + self._address.keep_seconds <= now:
                    _, upto = seen.popleft()
                if upto:
                    await self._streams.purge_to(self._topic, upto + 1)
            except TelemetryError as error:
                log.warning("settled messages not let go", reason=error.message)

    def _lose(self, error: TelemetryError) -> None:
        self._puller.reset()
        self._news.set()


def _letter(message: Arrived, words: str) -> Letter:
    name = message_id(PLACE, message.partition, message.sequence)
    place = message.partition, message.sequence
    return Letter(name, *place, message.attempt, words, message.payload)
