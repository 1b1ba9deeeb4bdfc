"""Talking to one broker: whole requests, and streams."""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import aiohttp
from starlette.types import Scope, Send

from common.errors import BrokerUnreachable, InvalidRequest, TelemetryError
from common.http.answers import send_bytes
from common.http.body import ClientGone
from common.queue.http import as_error
from proxy.members import Member
from proxy.options import ProxyOptions

_NETWORK = (aiohttp.ClientError, TimeoutError, ConnectionError)
_PASSED_ON = (b"content-type", b"content-encoding", b"idempotency-key", b"last-event-id")
_MESSAGE_HEADER = b"x-message-"
_PASSED_BACK = ("Retry-After", "Www-Authenticate")

Body = bytes | AsyncIterator[bytes]


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
        token = options.service_token.get_secret_value()
        self.session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}"},
            connector=aiohttp.TCPConnector(limit=0),
            trust_env=False,
            auto_decompress=False,
        )

    async def call(
        self, member: Member, method: str, target: str, headers: dict[str, str], body: Body
    ) -> Reply:
        """Make one request to one broker.

        Raises NotSentError when it cannot have reached the broker, BrokerUnreachable when nobody
        knows.
        """
        timeout = aiohttp.ClientTimeout(
            total=self._options.request_seconds, sock_connect=self._options.connect_seconds
        )
        if not member.breaker.allows():
            raise NotSentError(f"{member.name} failed a moment ago")
        try:
            async with self.session.request(
                method,
                member.url + target,
                headers=headers,
                data=body,
                timeout=timeout,
                allow_redirects=False,
            ) as answer:
                reply = await read_reply(answer)
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
            raise
        member.breaker.succeeded()
        return reply

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
                        raise as_error(answer.status, await answer.read())
        except _NETWORK as error:
            raise BrokerUnreachable(f"{member.name} does not answer: {error!r}") from error
        member.breaker.succeeded()
        return answer

    async def close(self) -> None:
        """Let go of every connection."""
        await self.session.close()


async def read_reply(answer: aiohttp.ClientResponse) -> Reply:
    """Read an answer whole."""
    return Reply(
        status=answer.status,
        headers=[
            (name.lower().encode(), answer.headers[name].encode())
            for name in _PASSED_BACK
            if name in answer.headers
        ],
        content_type=answer.headers.get("Content-Type", "application/json").encode(),
        body=await answer.read(),
    )


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
