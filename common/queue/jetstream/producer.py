"""Publishing to JetStream: many messages under way, each confirmed, repeated without doubling."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from nats.aio.client import Client

from common import ndjson
from common.clock import Clock
from common.errors import BrokerUnreachable, TelemetryError, TooLarge, Unavailable
from common.queue.base import Produced
from common.queue.jetstream.link import NatsLink
from common.queue.jetstream.settings import (
    NatsAddress,
    api_error,
    as_telemetry_error,
    read_nats_url,
    stream_name,
)
from common.queue.jetstream.streams import Streams

ANSWER_SECONDS = 30.0
PLACE = "nats"
DURABILITY = "disk"
MESSAGE_ID = "Nats-Msg-Id"
ONE_GROUP = "Telemetry-Group"  # the header of a message that only this group is to see
NO_RESPONDERS = "503"


class PublishAck(msgspec.Struct):
    """What a stream answers: where the message is, or why it is not."""

    seq: int = 0
    duplicate: bool = False
    error: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(PublishAck).decode
Headers = Mapping[str, str]


class NatsWriter:
    """Publishes with one inbox for all answers."""

    def __init__(self, link: NatsLink) -> None:
        self._link = link
        self._client: Client | None = None
        self._inbox = ""
        self._count = 0
        self._waiting: dict[str, tuple[_Sending, int]] = {}
        link.tell(self._give_up)

    async def put(
        self, subject: str, messages: Sequence[tuple[bytes, Headers | None]]
    ) -> tuple[int, bool]:
        """Publish in order; return the first one's sequence, and whether all were there before.

        Raises a TelemetryError; then some of them may be stored.
        """
        client = await self._open()
        most = client.max_payload
        if any(len(payload) > most for payload, _ in messages):
            raise TooLarge(f"NATS: a message is over the server's max_payload, {most}")
        sending = _Sending(len(messages))
        tokens = []
        try:
            for place, (payload, headers) in enumerate(messages):
                self._count += 1
                token = f"{self._count:x}"
                tokens.append(token)
                self._waiting[token] = sending, place
                reply = f"{self._inbox}.{token}"
                await client.publish(subject, payload, reply, dict(headers) if headers else None)
            async with asyncio.timeout(ANSWER_SECONDS):
                return await sending.done
        except TimeoutError as error:
            raise BrokerUnreachable("NATS: the stream does not answer") from error
        except Exception as error:
            raise as_telemetry_error(error) from error
        finally:
            for token in tokens:
                self._waiting.pop(token, None)

    async def _open(self) -> Client:
        client = await self._link.open()
        if client is not self._client:
            self._inbox = client.new_inbox()
            await client.subscribe(
                f"{self._inbox}.*", cb=self._hear, pending_msgs_limit=0, pending_bytes_limit=0
            )
            self._client = client
        return client

    async def _hear(self, message: Any) -> None:
        found = self._waiting.pop(message.subject.rpartition(".")[2], None)
        if found is None:
            return
        sending, place = found
        if message.headers and message.headers.get("Status") == NO_RESPONDERS:
            sending.fail(Unavailable("NATS: no stream takes this subject"))
            return
        answer = _decode(message.data)
        if answer.error is not None:
            sending.fail(api_error(answer.error))
        else:
            sending.succeed(place, answer)

    def _give_up(self, error: TelemetryError) -> None:
        for sending, _ in self._waiting.values():
            sending.fail(error)


class _Sending:
    """Messages of one send that are not confirmed yet."""

    def __init__(self, count: int) -> None:
        self.done: asyncio.Future[tuple[int, bool]] = asyncio.get_running_loop().create_future()
        self._left = count
        self._first = 0
        self._duplicates = 0
        self._count = count

    def succeed(self, place: int, answer: PublishAck) -> None:
        """One is stored."""
        if place == 0:
            self._first = answer.seq
        self._duplicates += answer.duplicate
        self._left -= 1
        if not self._left and not self.done.done():
            self.done.set_result((self._first, self._duplicates == self._count))

    def fail(self, error: TelemetryError) -> None:
        """One is not, or nobody knows."""
        if not self.done.done():
            self.done.set_exception(error)


class NatsProducer:
    """See ``Producer``. A topic is a stream; a partition is the last word of a subject of it.

    ``offset`` is the stream's sequence, which all partitions share. An idempotency key is good for
    ``duplicate_window`` of the stream, and names each message apart: when only some of a send were
    stored, a repeat adds the others.
    """

    def __init__(self, url: str, tls_ca_file: Path | None, clock: Clock) -> None:
        self._address: NatsAddress = read_nats_url(url, tls_ca_file)
        self._link = NatsLink(self._address, "producer")
        self._streams = Streams(self._address, self._link)
        self._writer = NatsWriter(self._link)
        self._known: set[str] = set()

    async def partitions(self, topic: str) -> int:
        """See ``Producer``."""
        self._known.add(topic)
        return await self._streams.ensure(topic)

    async def send(
        self, topic: str, partition: int, payloads: Sequence[bytes], idempotency_key: str = ""
    ) -> Produced:
        """See ``Producer``."""
        ndjson.check(payloads)
        if topic not in self._known:
            await self.partitions(topic)
        messages = [
            (each, {MESSAGE_ID: f"{idempotency_key}-{place}"} if idempotency_key else None)
            for place, each in enumerate(payloads)
        ]
        try:
            offset, again = await self._writer.put(f"{stream_name(topic)}.{partition}", messages)
        except Unavailable:
            self._known.discard(topic)  # its stream may be gone
            raise
        name = f"{PLACE}:{partition}:{offset}"
        return Produced(name, topic, partition, offset, len(payloads), DURABILITY, again)

    async def close(self) -> None:
        """See ``Producer``."""
        await self._link.close()
