"""The queue client for this project's own brokers, straight or through the proxy."""

import base64
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import aiohttp
import msgspec
from pydantic import SecretStr

from common import logs, ndjson
from common.clock import SystemClock
from common.errors import BrokerUnreachable, TelemetryError, all_errors
from common.http import sse
from common.http.pool import ConnectionPool
from common.queue.base import Delivery, Letter, Produced, Settled
from common.queue.letters import requests_of
from common.retry import Backoff
from common.wire import BATCH_EVENT, ENVELOPES, MESSAGE_EVENT, BatchHead, MessageEnvelope

log = logs.get("queue")

CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 60.0
SILENCE_SECONDS = 45.0  # three heartbeats
MAX_EVENT_BYTES = 64 << 20
NDJSON = "application/x-ndjson"

_decode_message = msgspec.json.Decoder(MessageEnvelope).decode
_BY_CODE = {error.code: error for error in all_errors()}
_NETWORK = (aiohttp.ClientError, TimeoutError, ConnectionError)
_NONSENSE = (ValueError, RecursionError)  # what decoding raises: msgspec's, Unicode's, base64's


class HttpProducer:
    """Sends over HTTP; one session, one connection for each send in flight.

    ``partitions`` is the topic's count when the other side is one broker of several: a topic that
    it does not know is made so there.
    """

    def __init__(
        self,
        base_url: str,
        token: SecretStr,
        partitions: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._session = open_session(base_url, token, REQUEST_SECONDS, tls)
        self._count = {"partitions": str(partitions)} if partitions else {}

    async def partitions(self, topic: str) -> int:
        """See ``Producer``."""
        answer = await request(self._session, "PUT", f"/topics/{topic}", data=b"{}")
        return int(answer["partition_count"])

    async def send(
        self, topic: str, partition: int, payloads: Sequence[bytes], idempotency_key: str = ""
    ) -> Produced:
        """See ``Producer``."""
        body = ndjson.pack(payloads)
        headers = {"Content-Type": NDJSON}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        answer = await request(
            self._session,
            "POST",
            "/produce",
            params={"topic": topic, "partition": str(partition), **self._count},
            data=body,
            headers=headers,
        )
        return msgspec.convert(answer, Produced)

    async def close(self) -> None:
        """See ``Producer``."""
        await self._session.close()


class HttpConsumer:
    """Reads one group's event stream, and opens it again whenever it ends.

    With ``batch`` up to so many messages come in a delivery and share its receipt; without it each
    message is a delivery. ``partitions`` is the topic's count when the other side is one broker of
    several.
    """

    def __init__(
        self,
        base_url: str,
        token: SecretStr,
        topic: str,
        group: str,
        max_in_flight: int,
        batch: int | None,
        partitions: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._session = open_session(base_url, token, REQUEST_SECONDS, tls)
        self._lost = False
        self._params = {"topic": topic, "group": group}
        self._stream_params = self._params | {"max_in_flight": str(max_in_flight)}
        if batch is not None:
            self._stream_params["batch"] = str(batch)
        self._count = {"partitions": str(partitions)} if partitions else {}
        self._stream_params |= self._count

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """See ``Consumer``."""
        backoff = Backoff(SystemClock())
        while True:
            try:
                async for together in self._stream():
                    backoff.reset()
                    for delivery in together:
                        yield delivery
            except (*_NETWORK, sse.StreamTooLongError) as error:
                self._note_loss(repr(error))
            except TelemetryError as error:
                if error.retry_after_seconds is None and error.status < 500:
                    raise
                self._note_loss(f"{error.code}: {error.message}")
            await backoff.wait()

    async def ack(self, receipts: Sequence[str]) -> Settled:
        """See ``Consumer``."""
        return await self._settle("ack", "acked", {"ids": receipts})

    async def reject(self, receipts: Sequence[str], reason: str) -> Settled:
        """See ``Consumer``."""
        wish = {"ids": receipts, "mode": "reject", "reason": reason}
        return await self._settle("nack", "nacked", wish)

    async def extend(self, receipts: Sequence[str], seconds: float) -> Settled:
        """See ``Consumer``."""
        return await self._settle("extend", "extended", {"ids": receipts, "seconds": seconds})

    async def bury(self, letters: Sequence[Letter]) -> None:
        """See ``Consumer``."""
        for partition, body in requests_of(letters):
            given = self._params | self._count | {"partition": str(partition)}
            await request(self._session, "POST", "/dlq", params=given, data=body)

    async def lag(self) -> int:
        """See ``Consumer``."""
        answer = await request(self._session, "GET", "/groups", params=self._params)
        group = self._params["group"]
        return sum(row["lag"] for row in answer["groups"] if row["group"] == group)

    async def close(self) -> None:
        """See ``Consumer``."""
        await self._session.close()

    async def _settle(self, verb: str, word: str, wish: dict[str, Any]) -> Settled:
        body = msgspec.json.encode(wish)
        try:
            answer = await request(
                self._session, "POST", f"/{verb}", params=self._params, data=body
            )
        except TelemetryError as error:
            if error.code != "RECEIPT_STALE":
                raise
            return Settled(refused=error.details or {})
        return Settled(answer[word], answer["already"], answer["refused"])

    def _note_loss(self, reason: str) -> None:
        if not self._lost:
            log.warning("stream lost, trying again until it is back", reason=reason)
        self._lost = True

    async def _stream(self) -> AsyncIterator[Iterator[Delivery]]:
        """Deliveries as they come, those of one chunk together."""
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS
        )
        async with self._session.get(
            "/consume", params=self._stream_params, timeout=timeout, allow_redirects=False
        ) as answer:
            if answer.status != 200:
                raise as_error(answer.status, await answer.read())
            if self._lost:
                log.info("stream is back")
            self._lost = False
            parser = sse.Parser(MAX_EVENT_BYTES)
            async for chunk in answer.content.iter_any():
                events = parser.feed(chunk)
                yield (_READ[event.type](event.data) for event in events if event.type in _READ)


def open_session(
    base_url: str, token: SecretStr, total_seconds: float, tls: ssl.SSLContext | None = None
) -> aiohttp.ClientSession:
    """A session that follows no redirect, no proxy variable, and knows the token.

    ``tls`` is whom it believes over https, None for the CAs of the machine.
    """
    return aiohttp.ClientSession(
        base_url,
        headers={"Authorization": f"Bearer {token.get_secret_value()}"},
        timeout=aiohttp.ClientTimeout(total=total_seconds, sock_connect=CONNECT_SECONDS),
        connector=ConnectionPool(tls),
        trust_env=False,
        auto_decompress=False,
    )


async def request(session: aiohttp.ClientSession, method: str, path: str, **given: Any) -> Any:
    """Make one request and return its JSON; every failure is a TelemetryError."""
    given["headers"] = logs.request_headers() | given.get("headers", {})
    try:
        async with session.request(method, path, allow_redirects=False, **given) as answer:
            body = await answer.read()
    except _NETWORK as error:
        raise BrokerUnreachable(f"no answer: {error!r}") from error
    if answer.status != 200:
        raise as_error(answer.status, body, answer.headers.get("Retry-After"))
    return read_json(body)


def read_json(body: bytes) -> Any:
    """The JSON of an answer; what is none may be asked for again."""
    try:
        return msgspec.json.decode(body)
    except _NONSENSE as error:
        raise BrokerUnreachable(f"the answer is no JSON: {error}") from error


def as_error(status: int, body: bytes, retry_after: str | None = None) -> TelemetryError:
    """Turn an error answer back into the error it was; one that is not ours may be retried."""
    try:
        error = msgspec.json.decode(body)["error"]
        kind = _BY_CODE[error["code"]]
        found = kind(error["message"], details=error["details"])
    except (*_NONSENSE, KeyError, TypeError):
        return BrokerUnreachable(f"answered {status} and no reason")
    if retry_after and retry_after.isdigit():
        found.retry_after_seconds = float(retry_after)
    return found


def read_batch(lines: list[bytes]) -> Delivery:
    """Read the data lines of a ``batch`` event; raises ClientPayloadError for what is none."""
    payloads = lines[1:]
    try:
        head = msgspec.json.decode(lines[0], type=BatchHead)
        if head.encoding == ENVELOPES:
            payloads = [payload_in(_decode_message(line)) for line in payloads]
    except _NONSENSE as error:
        raise aiohttp.ClientPayloadError(f"an event cannot be read: {error}") from error
    if len(payloads) != head.count:
        raise aiohttp.ClientPayloadError(f"{len(payloads)} messages came, not {head.count}")
    return Delivery(head.receipt, head.topic, head.partition, head.offset, head.attempt, payloads)


def read_message(lines: list[bytes]) -> Delivery:
    """Read the data of a ``message`` event; raises ClientPayloadError for what is none."""
    try:
        found = _decode_message(lines[0])
        payload = payload_in(found)
    except _NONSENSE as error:
        raise aiohttp.ClientPayloadError(f"an event cannot be read: {error}") from error
    place = found.topic, found.partition, found.offset
    return Delivery(found.receipt, *place, found.attempt, [payload])


def payload_in(envelope: MessageEnvelope) -> bytes:
    """The payload of one envelope, byte for byte."""
    if envelope.payload is not None:
        return envelope.payload.encode()
    return base64.b64decode(envelope.payload_base64 or "")


_READ = {MESSAGE_EVENT: read_message, BATCH_EVENT: read_batch}
