"""The consumer that reads each broker's own stream; the proxy stands by."""

import asyncio
import contextlib
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import aiohttp
from pydantic import SecretStr

from common import logs
from common.clock import Clock, SystemClock
from common.errors import BrokerUnreachable, TelemetryError
from common.queue.base import Delivery, Letter, Settled
from common.queue.http import HttpConsumer
from common.queue.placement import BrokerRow, Placement
from common.queue.shares import Shares
from common.wire import parse_receipt

log = logs.get("queue.direct")

PROXY = ""
LOOK_SECONDS = 5.0
REACH_SECONDS = 2.0
LOOKS_OUT_OF_REACH = 2  # then the proxy's stream is taken
LOOKS_THROUGH_PROXY = 12  # before straight streams are tried again

Act = Callable[[HttpConsumer, Sequence[str]], Awaitable[Settled]]

_NETWORK = (aiohttp.ClientError, TimeoutError, ConnectionError)


class DirectConsumer:
    """One stream a broker, merged; a receipt goes back to the broker that gave it.

    A broker that the proxy calls ready and that cannot be reached from here is why the whole
    stream goes through the proxy for a while. Deliveries under way then come again.
    """

    def __init__(
        self,
        proxy_url: str,
        token: SecretStr,
        topic: str,
        group: str,
        max_in_flight: int,
        batch: int,
        clock: Clock | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tls = tls
        self._token = token
        self._topic, self._group = topic, group
        self._max_in_flight, self._batch = max_in_flight, batch
        self._clock = clock or SystemClock()
        self._proxy = HttpConsumer(proxy_url, token, topic, group, max_in_flight, batch, tls=tls)
        self._placement = Placement(proxy_url, token, topic, self._clock, tls)
        self._session = aiohttp.ClientSession(
            trust_env=False, connector=aiohttp.TCPConnector(ssl=tls or True)
        )
        self._shares = Shares(max_in_flight, ())
        self._refused = False
        self._consumers: dict[str, HttpConsumer] = {}
        self._pumps: dict[str, asyncio.Task[None]] = {}
        self._follower: asyncio.Task[None] | None = None
        self._deliveries: asyncio.Queue[Delivery | Exception | None] = asyncio.Queue(1)

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """See ``Consumer``."""
        while True:
            straight = await self._begin()
            self._follower = asyncio.create_task(self._follow() if straight else self._stay())
            try:
                while (found := await self._deliveries.get()) is not None:
                    if isinstance(found, Exception):
                        raise found
                    yield found
            finally:
                await self._end()

    async def ack(self, receipts: Sequence[str]) -> Settled:
        """See ``Consumer``."""
        return await self._settle(receipts, lambda consumer, ours: consumer.ack(ours))

    async def reject(self, receipts: Sequence[str], reason: str) -> Settled:
        """See ``Consumer``."""
        return await self._settle(receipts, lambda consumer, ours: consumer.reject(ours, reason))

    async def extend(self, receipts: Sequence[str], seconds: float) -> Settled:
        """See ``Consumer``."""
        return await self._settle(receipts, lambda consumer, ours: consumer.extend(ours, seconds))

    async def bury(self, letters: Sequence[Letter]) -> None:
        """See ``Consumer``; rare enough for the proxy's own way to the partition's owner."""
        await self._proxy.bury(letters)

    async def lag(self) -> int:
        """See ``Consumer``."""
        return await self._proxy.lag()

    async def close(self) -> None:
        """See ``Consumer``."""
        await self._end()
        await self._placement.close()
        await self._proxy.close()
        await self._session.close()

    async def _settle(self, receipts: Sequence[str], act: Act) -> Settled:
        by_broker: defaultdict[str, list[str]] = defaultdict(list)
        for receipt in receipts:
            by_broker[parse_receipt(receipt).broker].append(receipt)
        parts = await asyncio.gather(*(self._settle_at(*part, act) for part in by_broker.items()))
        refused = {receipt: why for part in parts for receipt, why in part.refused.items()}
        acked, already = sum(part.acked for part in parts), sum(part.already for part in parts)
        return Settled(acked, already, refused)

    async def _settle_at(self, instance: str, receipts: list[str], act: Act) -> Settled:
        row = self._placement.instance(instance)
        straight = self._consumers.get(row.broker) if row is not None else None
        if straight is not None:
            with contextlib.suppress(BrokerUnreachable):  # settling once more changes nothing
                return await act(straight, receipts)
        return await act(self._proxy, receipts)

    async def _begin(self) -> bool:
        """Start the streams, straight ones where the placement is known and all are in reach."""
        self._deliveries = asyncio.Queue(1)
        straight = await self._may_go_straight()
        if straight:
            self._open_streams()
        else:
            self._start(PROXY, self._proxy)
        return straight

    async def _may_go_straight(self) -> bool:
        refused, self._refused = self._refused, False
        try:
            await self._placement.refresh()
            names = [row.broker for row in self._placement.brokers]
            self._shares = Shares(self._max_in_flight, names)
        except TelemetryError as error:
            log.warning("streams go through the proxy", reason=error.message)
            return False
        return not refused and not await self._out_of_reach()

    async def _end(self) -> None:
        """End all streams; the consumer may be closed while its deliveries are being ended."""
        pumps, self._pumps = self._pumps, {}
        consumers, self._consumers = self._consumers, {}
        follower, self._follower = self._follower, None
        tasks = [*pumps.values(), *([follower] if follower else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for consumer in consumers.values():
            await consumer.close()

    async def _follow(self) -> None:
        """Take brokers in that join, until one is out of reach or there is no share for one."""
        missed = 0
        while missed < LOOKS_OUT_OF_REACH:
            await self._clock.sleep(LOOK_SECONDS)
            with contextlib.suppress(TelemetryError):
                await self._placement.refresh()
            missed = missed + 1 if await self._out_of_reach() else 0
            await self._close_streams()
            if not self._open_streams():
                break
        await self._deliveries.put(None)

    async def _stay(self) -> None:
        """Keep to the proxy for a while."""
        for _ in range(LOOKS_THROUGH_PROXY):
            await self._clock.sleep(LOOK_SECONDS)
        while not await self._may_go_straight():
            await self._clock.sleep(LOOK_SECONDS)
        await self._deliveries.put(None)

    def _open_streams(self) -> bool:
        """A stream for each broker that has none; False when one gets no share."""
        for row in self._placement.brokers:
            if row.broker in self._pumps:
                continue
            share = self._shares.of(row.broker)
            if not share:
                return False
            consumer = HttpConsumer(
                row.url,
                self._token,
                self._topic,
                self._group,
                share,
                self._batch,
                self._placement.partitions,
                self._tls,
            )
            self._consumers[row.broker] = consumer
            self._start(row.broker, consumer)
        return True

    async def _close_streams(self) -> None:
        """End the streams of brokers that are gone."""
        names = {row.broker for row in self._placement.brokers}
        for name in self._consumers.keys() - names:
            self._pumps.pop(name).cancel()
            await self._consumers.pop(name).close()
            self._shares.give_back(name)

    def _start(self, name: str, consumer: HttpConsumer) -> None:
        self._pumps[name] = asyncio.create_task(self._pump(name, consumer), name=f"stream {name}")

    async def _pump(self, name: str, consumer: HttpConsumer) -> None:
        try:
            async for delivery in consumer.deliveries():
                await self._deliveries.put(delivery)
        except Exception as error:
            self._refused = name != PROXY and isinstance(error, TelemetryError)
            log.warning("stream refused", broker=name or "proxy", reason=repr(error))
            await self._deliveries.put(None if self._refused else error)

    async def _out_of_reach(self) -> bool:
        """Whether some broker that the proxy calls ready does not answer us."""
        ready = [row for row in self._placement.brokers if row.ready]
        answers = await asyncio.gather(*(self._reaches(row) for row in ready))
        lost = [row.broker for row, there in zip(ready, answers, strict=True) if not there]
        if lost:
            log.warning("brokers out of reach", brokers=lost)
        return bool(lost)

    async def _reaches(self, row: BrokerRow) -> bool:
        timeout = aiohttp.ClientTimeout(total=REACH_SECONDS)
        try:
            async with self._session.get(
                f"{row.url}/health", timeout=timeout, allow_redirects=False
            ) as answer:
                return answer.status == 200
        except _NETWORK:
            return False
