"""Where a topic's partitions are, as the proxy routes them."""

import asyncio
import ssl
from collections.abc import Sequence

import msgspec
from pydantic import SecretStr

from common import logs
from common.clock import Clock
from common.errors import BrokerUnreachable, TelemetryError
from common.queue.http import open_session, request

log = logs.get("queue.placement")

REFRESH_SECONDS = 5.0
REQUEST_SECONDS = 5.0


class BrokerRow(msgspec.Struct):
    """A broker as ``GET /status`` shows it."""

    broker: str
    instance: str
    url: str
    ready: bool


class Status(msgspec.Struct):
    """What ``GET /status?topic=`` answers, as far as a client needs it."""

    brokers: list[BrokerRow]
    owners: dict[str, list[str]]


class Placement:
    """One topic's owners and the brokers there are; the last answer stands until the next.

    A broker that failed a request is left out until the proxy was asked again.
    """

    def __init__(
        self,
        proxy_url: str,
        token: SecretStr,
        topic: str,
        clock: Clock,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._session = open_session(proxy_url, token, REQUEST_SECONDS, tls)
        self._topic = topic
        self._clock = clock
        self._owners: Sequence[str] = ()
        self._brokers: dict[str, BrokerRow] = {}
        self._stale = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None

    @property
    def partitions(self) -> int:
        """The topic's partition count, 0 while it is not known."""
        return len(self._owners)

    @property
    def brokers(self) -> list[BrokerRow]:
        """Every broker that may hold messages."""
        return list(self._brokers.values())

    def owner(self, partition: int) -> BrokerRow | None:
        """Who owns a partition and may be asked now."""
        if partition >= len(self._owners):
            return None
        row = self._brokers.get(self._owners[partition])
        return row if row is not None and row.ready else None

    def instance(self, name: str) -> BrokerRow | None:
        """The broker that writes this name into its receipts."""
        return next((row for row in self._brokers.values() if row.instance == name), None)

    def distrust(self, row: BrokerRow) -> None:
        """A request to it failed: nobody asks it before the proxy says that it is well."""
        row.ready = False
        self._stale.set()

    async def refresh(self) -> None:
        """Ask the proxy; raises a TelemetryError and keeps what was known."""
        params = {"topic": self._topic}
        answer = await request(self._session, "GET", "/status", params=params)
        try:
            status = msgspec.convert(answer, Status)
            owners = status.owners[self._topic]
        except (msgspec.ValidationError, KeyError) as error:
            raise BrokerUnreachable(f"the proxy's status cannot be read: {error!r}") from error
        self._owners = owners
        self._brokers = {row.broker: row for row in status.brokers}

    def follow(self) -> None:
        """Keep asking, sooner when something failed."""
        if self._follower is None:
            self._follower = asyncio.create_task(self._follow(), name=f"placement {self._topic}")

    async def close(self) -> None:
        """Let go of every connection."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        await self._session.close()

    async def _follow(self) -> None:
        known = True
        while True:
            self._stale.clear()
            await self._pause()
            try:
                await self.refresh()
            except TelemetryError as error:
                if known:
                    log.warning("placement unknown, the last one stands", reason=error.message)
                known = False
            else:
                known = True

    async def _pause(self) -> None:
        """Wait for the next look; one that is called for comes after a fraction of the time."""
        pause = asyncio.ensure_future(self._clock.sleep(REFRESH_SECONDS))
        stale = asyncio.ensure_future(self._stale.wait())
        try:
            await asyncio.wait({pause, stale}, return_when=asyncio.FIRST_COMPLETED)
            if not pause.done():
                await self._clock.sleep(REFRESH_SECONDS / 10)
        finally:
            pause.cancel()
            stale.cancel()
