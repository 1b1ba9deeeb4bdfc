"""The brokers behind this proxy, and whether each is well."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

import aiohttp
import msgspec

from common import logs
from common.clock import Clock
from common.errors import BrokerUnreachable, InvalidRequest
from common.options import refuse
from common.wire import check_name
from proxy.breaker import Breaker
from proxy.options import ProxyOptions
from proxy.ring import Ring

log = logs.get("proxy.members")

_NO_ANSWER = (aiohttp.ClientError, TimeoutError, ConnectionError)
_NONSENSE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class BrokerStats(msgspec.Struct):
    """What ``GET /stats`` of a broker says, as far as a proxy needs it."""

    broker: str


class Member:
    """One broker: its place on the ring, its address, its health.

    ``name`` is its identity on the ring; ``instance`` is what it calls itself in receipts, and
    is taken to be the name until it was ``met``. ``silent``: the last probe got no answer.
    """

    def __init__(self, name: str, url: str, breaker: Breaker) -> None:
        self.name = name
        self.url = url.rstrip("/")
        self.breaker = breaker
        self.instance = name
        self.met = False
        self.silent = False
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
        except (*_NO_ANSWER, *_NONSENSE) as error:
            member.silent = True
            self._set(member, False, repr(error))
            return
        member.silent = False
        twin = self._twin(member, instance)
        if twin is not None:
            self._set(member, False, f"calls itself {instance}, as {twin.name} does")
            return
        member.instance, member.met = instance, True
        self._set(member, ready, "" if ready else "not ready")
        if ready:
            member.breaker.succeeded()

    def _twin(self, member: Member, instance: str) -> Member | None:
        """Another broker that writes the same name into its receipts."""
        others = (other for other in self if other is not member and other.met)
        return next((other for other in others if other.instance == instance), None)

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
    url = member.url
    async with session.get(f"{url}/ready", timeout=timeout, allow_redirects=False) as answer:
        ready = answer.status == 200
    async with session.get(f"{url}/stats", timeout=timeout, allow_redirects=False) as answer:
        stats = msgspec.json.decode(await answer.read(), type=BrokerStats)
    return ready, stats.broker


def read_membership(options: ProxyOptions) -> list[tuple[str, str]]:
    """The brokers as (name, url): from the list, or from the StatefulSet's naming."""
    if options.brokers and options.broker_service:
        refuse(["BROKERS and BROKER_SERVICE are two ways to say the same; give one"])
    if options.brokers:
        return distinct([read_broker(text) for text in options.brokers])
    if not options.broker_service or not options.broker_count:
        refuse(["BROKERS is required, or BROKER_SERVICE and BROKER_COUNT"])
    service, port = options.broker_service, options.broker_port
    check("BROKER_SERVICE", service)
    domain = f"{service}.{options.namespace}.svc" if options.namespace else service
    return [
        (f"{service}-{index}", f"http://{service}-{index}.{domain}:{port}")
        for index in range(options.broker_count)
    ]


def read_broker(text: str) -> tuple[str, str]:
    """Read ``name=url`` or ``url``; a broker without a name is called by host and port."""
    name, found, rest = text.partition("=http")
    url = ("http" + rest if found else text).rstrip("/")
    if not is_base_url(url):
        refuse([f"BROKERS: {text!r} must be an http URL without a path, or name=URL"])
    if found:
        return check("BROKERS", name), url
    return check("BROKERS", url.split("://", 1)[1].strip("[]").replace(":", "-")), url


def is_base_url(url: str) -> bool:
    """Whether a URL is scheme, host and perhaps a port, and nothing else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    whole = f"{parts.scheme}://{parts.netloc}" == url and parts.scheme in ("http", "https")
    return whole and port != 0 and bool(host) and not set(host + parts.netloc) & set(" @%\\")


def check(option: str, name: str) -> str:
    """Return a broker's name if it is one, or refuse the option it came from."""
    try:
        return check_name(name, f"{option}: {name!r}")
    except InvalidRequest as error:
        refuse([error.message])


def distinct(brokers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Refuse a name or a URL that is given twice."""
    for said in zip(*brokers, strict=True):
        for text in said:
            if said.count(text) > 1:
                refuse([f"BROKERS: {text} is given twice"])
    return brokers
