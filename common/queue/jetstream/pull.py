"""Pull requests: how many messages a consumer has asked for and not got."""

import asyncio
from typing import Any

import msgspec

from common.clock import Clock
from common.queue.jetstream.ledger import Arrived
from common.queue.jetstream.link import NatsLink
from common.queue.jetstream.producer import ONE_GROUP
from common.queue.jetstream.settings import as_telemetry_error, stream_name

EXPIRES_SECONDS = 20.0
LOST_SECONDS = EXPIRES_SECONDS + 5.0
LEAST_SHARE = 2  # a request asks for half of what may be in flight, or for all when none is open
PENDING = "Nats-Pending-Messages"
SHORT_REPLY = 9  # words of a reply that names no domain
GONE = {"409", "503"}


class NatsPuller:
    """Asks a durable consumer for messages, and gathers what comes in ``arrived``.

    ``news`` is set when something came, or when asking again may help.
    """

    def __init__(
        self, link: NatsLink, topic: str, group: str, most: int, clock: Clock, news: asyncio.Event
    ) -> None:
        self.arrived: list[Arrived] = []
        self.problem = ""
        self._link = link
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream_name(topic)}.{stream_name(group)}"
        self._most = most
        self._clock = clock
        self._news = news
        self._open = 0  # messages asked for that may still come
        self._heard_at = 0.0
        self._client: Any = None
        self._subscription: Any = None
        self._inbox = ""

    def reset(self) -> None:
        """Nothing that was asked for comes any more."""
        self._open = 0

    async def ask(self, room: int) -> None:
        """Ask for what fits into ``room`` beside what is asked for already."""
        now = self._clock.monotonic()
        if self._open and now - self._heard_at > LOST_SECONDS:
            self.reset()
        wanted = room - len(self.arrived) - self._open
        if wanted <= 0 or (self._open and wanted * LEAST_SHARE < self._most):
            return
        try:
            client = await self._ready()
            expires = int(EXPIRES_SECONDS * 1e9)
            request = msgspec.json.encode({"batch": wanted, "expires": expires})
            await client.publish(self._subject, request, self._inbox)
        except Exception as error:
            raise as_telemetry_error(error) from error
        self._open += wanted
        self._heard_at = now

    async def stop(self) -> None:
        """Have no more sent, and know what was: it is in ``arrived``."""
        if self._subscription is not None and self._client.is_connected:
            await self._subscription.drain()

    async def _ready(self) -> Any:
        client = await self._link.open()
        if client is not self._client:
            self.reset()
            self._inbox = client.new_inbox()
            self._subscription = await client.subscribe(
                self._inbox, cb=self._hear, pending_msgs_limit=0, pending_bytes_limit=0
            )
            self._client = client
        return client

    async def _hear(self, message: Any) -> None:
        self._heard_at = self._clock.monotonic()
        self._news.set()
        if not message.reply:
            self._hear_status(message.headers or {})
            return
        self._open = max(0, self._open - 1)
        words = message.reply.split(".")
        attempt, sequence = words[4:6] if len(words) == SHORT_REPLY else words[6:8]
        self.arrived.append(
            Arrived(
                partition=int(message.subject.rpartition(".")[2]),
                sequence=int(sequence),
                attempt=int(attempt),
                reply=message.reply,
                payload=message.data,
                at=self._heard_at,
                group=(message.headers or {}).get(ONE_GROUP, ""),
            )
        )

    def _hear_status(self, headers: dict[str, str]) -> None:
        """A request is over; so many of its messages did not come."""
        left = headers.get(PENDING, "")
        self._open = max(0, self._open - int(left)) if left.isdigit() else 0
        if headers.get("Status") in GONE:
            self.problem = headers.get("Description") or "no such consumer"
