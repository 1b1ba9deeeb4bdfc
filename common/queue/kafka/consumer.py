"""Receiving from Kafka as one of a group."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import logs
from common.clock import Clock
from common.errors import TelemetryError
from common.queue.base import Delivery, Letter, Settled, Subscription
from common.queue.kafka.client import KafkaMember, refused
from common.queue.kafka.ledger import PLACE, KafkaLedger
from common.queue.kafka.records import LetterBox
from common.queue.kafka.settings import read_kafka_url
from common.queue.kafka.topics import KafkaTopics
from common.retry import Backoff
from common.threads import run_in
from common.wire import message_id

log = logs.get("queue")

FULL_SECONDS = 1.0


class KafkaConsumer:
    """See ``Consumer``. Kafka leases partitions, not messages.

    What is not acked stays with this consumer until it leaves the group or is silent for longer
    than ``session.timeout.ms``; ``extend`` has nothing to do, and ``attempt`` is always 1.
    """

    def __init__(
        self, url: str, wanted: Subscription, tls_ca_file: Path | None, clock: Clock
    ) -> None:
        self._address = read_kafka_url(url, tls_ca_file)
        self._wanted = wanted
        self._clock = clock
        self._ledger = KafkaLedger(wanted.topic, wanted.max_in_flight, wanted.batch)
        self._topics = KafkaTopics(self._address)
        self._letters = LetterBox(self._address, wanted.topic, wanted.group, clock)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka")
        self._member: KafkaMember | None = None
        self._ready: asyncio.Queue[Delivery | Exception] = asyncio.Queue()
        self._acked = asyncio.Event()
        self._pumping: asyncio.Task[None] | None = None

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """See ``Consumer``."""
        if self._pumping is None:
            self._pumping = asyncio.create_task(self._pump(), name="kafka-pump")
        while True:
            found = await self._ready.get()
            if isinstance(found, Exception):
                raise found
            if self._ledger.holds(found.receipt):
                yield found

    async def ack(self, receipts: Sequence[str]) -> Settled:
        """See ``Consumer``; it is committed within a moment."""
        settled = self._ledger.settle(receipts)
        self._acked.set()
        return settled

    async def reject(self, receipts: Sequence[str], reason: str) -> Settled:
        """See ``Consumer``."""
        _, messages = self._ledger.look(receipts)
        letters = [
            Letter(message_id(PLACE, partition, offset), partition, offset, 1, reason, payload)
            for partition, offset, payload in messages
        ]
        await self._letters.put(letters)
        return await self.ack(receipts)

    async def extend(self, receipts: Sequence[str], seconds: float) -> Settled:
        """See ``Consumer``; says what is still ours."""
        return self._ledger.look(receipts)[0]

    async def bury(self, letters: Sequence[Letter]) -> None:
        """See ``Consumer``; a repeat is written again and counts once when letters are read."""
        await self._letters.put(letters)

    async def lag(self) -> int:
        """See ``Consumer``."""
        return await asyncio.to_thread(self._lag)

    async def close(self) -> None:
        """See ``Consumer``."""
        if self._pumping is not None:
            self._pumping.cancel()
            await asyncio.wait([self._pumping])
        member, self._member = self._member, None
        if member is not None:
            await run_in(self._thread, member.close)
        self._thread.shutdown()
        await self._letters.close()

    async def _pump(self) -> None:
        """Be a member of the group for ever, whether or not anybody takes deliveries."""
        backoff = Backoff(self._clock)
        lost = ""
        while True:
            try:
                member = await self._join()
                lost = self._note(lost)
                await self._turn(member)
                backoff.reset()
            except TelemetryError as error:
                if refused(error):
                    self._ready.put_nowait(error)
                    return
                lost = self._note(lost, f"{error.code}: {error.message}")
                await backoff.wait()
            except Exception as error:
                self._ready.put_nowait(error)
                raise

    async def _join(self) -> KafkaMember:
        """Become a member, once the topic is there; again, once it is there again."""
        if self._member is None:
            await asyncio.to_thread(self._topics.ensure, self._wanted.topic)
            return await run_in(self._thread, self._new_member)
        if self._member.topic_is_gone:
            await asyncio.to_thread(self._topics.ensure, self._wanted.topic)
            self._member.topic_is_gone = False
        return self._member

    def _new_member(self) -> KafkaMember:
        """Become one; who is cancelled meanwhile finds it, and has it leave the group."""
        wanted = self._wanted
        self._member = KafkaMember(
            self._address, wanted.topic, wanted.group, wanted.instance_id, self._ledger
        )
        return self._member

    async def _turn(self, member: KafkaMember) -> None:
        room = self._ledger.room
        if room <= 0:
            room = await self._wait_for_room()
        for delivery in await run_in(self._thread, member.turn, room):
            self._ready.put_nowait(delivery)

    async def _wait_for_room(self) -> int:
        """Pausing throws away what was fetched ahead, so it is put off for a moment."""
        self._acked.clear()
        if self._ledger.room <= 0:
            try:
                async with asyncio.timeout(FULL_SECONDS):
                    await self._acked.wait()
            except TimeoutError:
                return 0
        return self._ledger.room

    def _note(self, lost: str, reason: str = "") -> str:
        if reason and not lost:
            log.warning("queue lost, trying again until it is back", reason=reason)
        elif lost and not reason:
            log.info("queue is back")
        return reason

    def _lag(self) -> int:
        topic, group = self._wanted.topic, self._wanted.group
        count = self._topics.count(topic)
        if not count:
            return 0
        committed = {**self._topics.committed(group, topic), **self._ledger.floors()}
        bounds = self._topics.bounds(topic, count)
        return sum(
            end - max(first, committed.get(at, first)) for at, (first, end) in enumerate(bounds)
        )
