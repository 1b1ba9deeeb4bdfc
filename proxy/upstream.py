"""Talking to one broker: whole requests, and streams."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import NamedTuple

import aiohttp
from starlette.types import Receive, Scope, Send

from common import logs
from common.errors import BrokerUnreachable, InvalidRequest, TelemetryError
from common.http.answers import send_bytes
from common.http.body import ClientGone
from common.http.pool import ConnectionPool
from common.http.tls import client_context
from common.queue.http import as_error
from proxy.member import Member
from proxy.options import ProxyOptions

_NETWORK = (aiohttp.ClientError, TimeoutError, ConnectionError)
_PASSED_ON = (b"content-type", b"content-encoding", b"idempotency-key", b"last-event-id")
_MESSAGE_HEADER = b"x-message-"
_PASSED_BACK = ("Retry-After", "Www-Authenticate")

Body = bytes | AsyncIterator[bytes]


READ_BYTES = 1 << 18  # of an answer that nobody has taken yet; then the broker waits
MAX_REFUSAL_BYTES = 1 << 20
RETRY_AFTER = b"retry-after"
EVENT_STREAM = "text/event-stream"


class NotSentError(Exception):
    """The broker never got the request: another one may be asked without a doubt."""


class Reply(NamedTuple):
    """A broker's whole answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    content_type: bytes
    body: bytes

    @property
    def retry_after(self) -> str | None:
        """The value of ``Retry-After``."""
        return next((value.decode() for name, value in self.headers if name == RETRY_AFTER), None)

    async def send(self, send: Send) -> None:
        """Give the answer to the client as it is."""
        await send_bytes(send, self.body, self.content_type, self.status, self.headers)


class Upstream:
    """The one HTTP client of a proxy, and the breakers' source of truth."""

    def __init__(self, options: ProxyOptions) -> None:
        self._options = options
        self.verbs: Counter[str] = Counter()
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=options.connect_seconds)
        token = options.service_token.get_secret_value()
        self.session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}"},
            connector=ConnectionPool(client_context(options.tls_ca_file)),
            trust_env=False,
            auto_decompress=False,
            read_bufsize=READ_BYTES,
        )

    async def call(
        self, member: Member, method: str, target: str, headers: dict[str, str], body: Body
    ) -> Reply:
        """Make one request to one broker.

        Raises NotSentError when it cannot have reached the broker, BrokerUnreachable when nobody
        knows.
        """
        if not member.breaker.allows():
            raise NotSentError(f"{member.name} failed a moment ago")
        began, failed = time.perf_counter(), True
        try:
            reply = await self._exchange(member, method, target, headers, body)
            failed = reply.status >= 500
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            member.breaker.failed(at_once=True)
            raise NotSentError(f"{member.name} does not accept: {error!r}") from error
        except _NETWORK as error:
            blame(member, error, body)
            raise BrokerUnreachable(
                f"{member.name} broke off; the request may have been done: {error!r}"
            ) from error
        except BaseException:
            member.breaker.gave_up()
            failed = False
            raise
        finally:
            self.verbs[target[1:].partition("?")[0].partition("/")[0]] += 1
            member.tally.count(time.perf_counter() - began, failed)
        member.breaker.succeeded()
        return reply

    async def _exchange(
        self, member: Member, method: str, target: str, headers: dict[str, str], body: Body
    ) -> Reply:
        """One request and its whole answer, within the time that an answer may take.

        ``Member.cut_calls`` ends it sooner.
        """
        async with asyncio.timeout(self._options.request_seconds) as deadline:
            member.calls.add(deadline)
            try:
                async with self.session.request(
                    method,
                    member.url + target,
                    headers=logs.request_headers() | headers,
                    data=body,
                    timeout=self._timeout,
                    allow_redirects=False,
                ) as answer:
                    return await read_reply(answer, self._options.max_event_bytes)
            finally:
                member.calls.discard(deadline)

    async def open_stream(
        self, member: Member, target: str, headers: dict[str, str]
    ) -> aiohttp.ClientResponse:
        """Open an event stream: no limit on its length, one on its silence.

        A refusal is raised as the error it was, anything else as BrokerUnreachable.
        """
        timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=self._options.connect_seconds,
            sock_read=self._options.idle_seconds,
        )
        try:
            async with asyncio.timeout(self._options.connect_seconds):
                answer = await self.session.get(
                    member.url + target, headers=headers, timeout=timeout, allow_redirects=False
                )
                if answer.status != 200 or answer.content_type != EVENT_STREAM:
                    async with answer:
                        raise as_error(answer.status, await read_bounded(answer, MAX_REFUSAL_BYTES))
        except _NETWORK as error:
            raise BrokerUnreachable(f"{member.name} does not answer: {error!r}") from error
        member.breaker.succeeded()
        member.silences = 0  # acks of what it sends now need not wait for a probe
        return answer

    async def close(self) -> None:
        """Let go of every connection."""
        await self.session.close()


@contextlib.asynccontextmanager
async def unless_gone(receive: Receive | None) -> AsyncIterator[None]:
    """End what is under way when the client leaves; raises ClientGone.

    ``receive`` must have given the whole body before.
    """
    if receive is None:
        yield
        return
    deadline = asyncio.timeout(None)
    watcher = asyncio.create_task(end_with_client(receive, deadline))
    try:
        async with deadline:
            yield
    except TimeoutError:
        if deadline.expired():
            raise ClientGone from None
        raise
    finally:
        watcher.cancel()


async def end_with_client(receive: Receive, deadline: asyncio.Timeout) -> None:
    """Let a deadline pass as soon as the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    deadline.reschedule(asyncio.get_running_loop().time())


async def read_reply(answer: aiohttp.ClientResponse, limit_bytes: int) -> Reply:
    """Read an answer whole, unless it is longer than any of ours."""
    return Reply(
        status=answer.status,
        headers=[
            (name.lower().encode(), answer.headers[name].encode())
            for name in _PASSED_BACK
            if name in answer.headers
        ],
        content_type=answer.headers.get("Content-Type", "application/json").encode(),
        body=await read_bounded(answer, limit_bytes),
    )


async def read_bounded(answer: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """The body of an answer; raises ClientPayloadError when it is over the limit."""
    if answer.content_length is not None and answer.content_length <= limit_bytes:
        return await answer.read()
    chunks, size = [], 0
    async for chunk in answer.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > limit_bytes:
            raise aiohttp.ClientPayloadError(f"an answer is over {limit_bytes} bytes")
    return b"".join(chunks)


def blame(member: Member, error: Exception, body: Body) -> None:
    """Count a failure against the broker, unless it was the client's: that one is raised."""
    if isinstance(error.__cause__, (ClientGone, TelemetryError)):
        member.breaker.gave_up()
        raise error.__cause__
    if isinstance(error, TimeoutError) and not isinstance(body, bytes):
        member.breaker.gave_up()  # perhaps it was the client who took so long
    else:
        member.breaker.failed(at_once=False)


def passed_on(scope: Scope) -> dict[str, str]:
    """The request headers a broker gets to see: never Host, never a forwarded address."""
    try:
        found = {
            name.decode("latin-1"): value.decode()  # the client library encodes it so again
            for name, value in scope["headers"]
            if name in _PASSED_ON or name.startswith(_MESSAGE_HEADER)
        }
    except UnicodeDecodeError as error:
        raise InvalidRequest("the value of a header is not UTF-8") from error
    return found | {"X-Request-ID": scope["request_id"]}
