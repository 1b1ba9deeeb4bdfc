"""The brokers behind this proxy, and whether each is well."""

import asyncio
from collections.abc import Iterator

import aiohttp
import msgspec

from common import logs
from common.clock import Clock
from common.errors import BrokerUnreachable
from common.options import refuse
from common.wire import check_name
from proxy.breaker import Breaker
from proxy.options import ProxyOptions
from proxy.ring import Ring

log = logs.get("proxy.members")


class Member:
    """One broker: its place on the ring, its address, its health.

    ``name`` is its identity on the ring; ``instance`` is what it calls itself in receipts.
    """

    def __init__(self, name: str, url: str, breaker: Breaker) -> None:
        self.name = name
        self.url = url.rstrip("/")
        self.breaker = breaker
        self.instance = name
        self.ready = True
        self.reason = ""


class Members:
    """Owns the members, and the one ring that routing, status and plans are read from."""

    def __init__(self, options: ProxyOptions, clock: Clock) -> None:
        self._options = options
        self._members = {
            name: Member(name, url, Breaker(clock, options.breaker_seconds))
            for name, url in read_membership(options)
        }
        self.ring = Ring(list(self._members), options.virtual_nodes)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    def well(self) -> list[Member]:
        """Those that were ready when last asked."""
        return [member for member in self if member.ready]

    def in_order(self, topic: str, partition: int, partitions: int) -> list[Member]:
        """Who takes a partition's messages: the owner, then its stand-ins."""
        order = self.ring.order(topic, partition, partitions)
        return [self._members[name] for name in order]

    def by_instance(self, instance: str) -> Member | None:
        """The broker that writes this name into its receipts."""
        return next((member for member in self if member.instance == instance), None)

    def get(self, name: str) -> Member:
        """The member of a name; raises BrokerUnreachable."""
        if name not in self._members:
            raise BrokerUnreachable(f"there is no broker {name}")
        return self._members[name]

    async def probe(self, session: aiohttp.ClientSession) -> None:
        """Ask every broker once."""
        await asyncio.gather(*(self._probe(session, member) for member in self))

    async def _probe(self, session: aiohttp.ClientSession, member: Member) -> None:
        try:
            ready, instance = await ask(session, member, self._options.connect_seconds)
        except (aiohttp.ClientError, TimeoutError, ConnectionError, msgspec.DecodeError) as error:
            self._set(member, False, repr(error))
            return
        member.instance = instance
        self._set(member, ready, "" if ready else "not ready")
        if ready:
            member.breaker.succeeded()

    def _set(self, member: Member, ready: bool, reason: str) -> None:
        if member.ready != ready:
            level = log.info if ready else log.warning
            level("broker is up" if ready else "broker is down", broker=member.name, reason=reason)
        member.ready, member.reason = ready, reason


async def ask(
    session: aiohttp.ClientSession, member: Member, timeout_seconds: float
) -> tuple[bool, str]:
    """Return whether a broker is ready, and what it calls itself."""
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    async with session.get(member.url + "/ready", timeout=timeout) as answer:
        ready = answer.status == 200
    async with session.get(member.url + "/stats", timeout=timeout) as answer:
        stats = msgspec.json.decode(await answer.read())
    return ready, str(stats["broker"])


def read_membership(options: ProxyOptions) -> list[tuple[str, str]]:
    """The brokers as (name, url): from the list, or from the StatefulSet's naming."""
    if options.brokers and options.broker_service:
        refuse(["BROKERS and BROKER_SERVICE are two ways to say the same; give one"])
    if options.brokers:
        return [read_broker(text) for text in options.brokers]
    if not options.broker_service or not options.broker_count:
        refuse(["BROKERS is required, or BROKER_SERVICE and BROKER_COUNT"])
    service, port = options.broker_service, options.broker_port
    domain = f"{service}.{options.namespace}.svc" if options.namespace else service
    return [
        (f"{service}-{index}", f"http://{service}-{index}.{domain}:{port}")
        for index in range(options.broker_count)
    ]


def read_broker(text: str) -> tuple[str, str]:
    """Read ``name=url`` or ``url``; a broker without a name is called by host and port."""
    name, found, url = text.partition("=http")
    if found:
        return check_name(name, "BROKERS"), "http" + url
    if not text.startswith(("http://", "https://")):
        refuse([f"BROKERS: {text!r} must be an http URL or name=URL"])
    return text.split("://", 1)[1].rstrip("/").replace(":", "-"), text
