"""A group's dead letters in JetStream, for who looks after them."""

from pathlib import Path

from common.clock import Clock
from common.errors import NotFound
from common.queue.base import DeadLetter
from common.queue.jetstream.link import NatsLink
from common.queue.jetstream.producer import MESSAGE_ID, ONE_GROUP, NatsWriter
from common.queue.jetstream.records import dead_topic, letter_of
from common.queue.jetstream.settings import as_telemetry_error, read_nats_url, stream_name
from common.queue.jetstream.streams import Streams


class NatsDeadLetters:
    """See ``DeadLetters``.

    A letter that is redriven is a new message of the topic, with a header that says whose it is:
    our consumers of other groups pass over it.
    """

    def __init__(
        self, url: str, topic: str, group: str, tls_ca_file: Path | None, clock: Clock
    ) -> None:
        address = read_nats_url(url, tls_ca_file)
        self._link = NatsLink(address, "dead-letters")
        self._streams = Streams(address, self._link)
        self._writer = NatsWriter(self._link)
        self._topic, self._group, self._dead = topic, group, dead_topic(topic, group)
        self._stream = stream_name(self._dead)
        self._clock = clock

    async def page(self, limit: int) -> list[DeadLetter]:
        """See ``DeadLetters``."""
        at, end = await self._bounds()
        found: list[DeadLetter] = []
        while len(found) < limit and (there := await self._read(at, end)) is not None:
            at, letter = there
            found.append(letter)
            at += 1
        return found

    async def redrive(self, rate: float) -> int:
        """See ``DeadLetters``."""
        at, end = await self._bounds()
        count = await self._streams.ensure(self._topic)
        done = 0
        while (there := await self._read(at, end)) is not None:
            if done:
                await self._clock.sleep(1 / rate)
            at, letter = there
            subject = f"{stream_name(self._topic)}.{letter.partition % count}"
            # with this id a crash before the letter is taken out doubles nothing
            headers = {MESSAGE_ID: f"redriven {self._stream} {at}", ONE_GROUP: self._group}
            await self._writer.put(subject, [(letter.payload, headers)])
            await self._delete(at)
            done += 1
            at += 1
        return done

    async def purge(self) -> int:
        """See ``DeadLetters``."""
        found = await self._streams.find(self._dead)
        if found is None or not found.state.messages:
            return 0
        await self._streams.purge_to(self._dead, found.state.last_seq + 1)
        return int(found.state.messages)

    async def close(self) -> None:
        """See ``DeadLetters``."""
        await self._link.close()

    async def _bounds(self) -> tuple[int, int]:
        """The first sequence, and the one behind the last; a stream that is not there has none."""
        found = await self._streams.find(self._dead)
        if found is None or not found.state.messages:
            return 0, 0
        return max(1, found.state.first_seq), found.state.last_seq + 1

    async def _read(self, sequence: int, end: int) -> tuple[int, DeadLetter] | None:
        """The next letter at or after a sequence and before ``end``, and its own sequence."""
        if sequence >= end:
            return None
        try:
            js = await self._link.jetstream()
            message = await js.get_msg(
                self._stream, sequence, subject=f"{self._stream}.0", next=True
            )
        except Exception as error:
            found = as_telemetry_error(error)
            if isinstance(found, NotFound):
                return None
            raise found from error
        if message.seq >= end:
            return None
        return message.seq, letter_of(message.seq, message.headers or {}, message.data or b"")

    async def _delete(self, sequence: int) -> None:
        try:
            js = await self._link.jetstream()
            await js.delete_msg(self._stream, sequence)
        except Exception as error:
            raise as_telemetry_error(error) from error
