"""Asking brokers how they are, off the way of requests."""

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
import msgspec

from common.clock import Clock
from common.lifecycle import Lifecycle
from proxy.member import Member
from proxy.options import ProxyOptions

if TYPE_CHECKING:
    from proxy.members import Members

MAX_ANSWER_BYTES = 1 << 20

_NO_ANSWER = (aiohttp.ClientError, TimeoutError, ConnectionError)
_NONSENSE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Readiness(msgspec.Struct):
    """What ``GET /ready`` of a broker says, as far as a proxy needs it."""

    draining: bool = False


class BrokerStats(msgspec.Struct):
    """What ``GET /stats`` of a broker says, as far as a proxy needs it."""

    broker: str


class DrainState(msgspec.Struct):
    """What ``GET /drain`` of a broker says, as far as a proxy needs it."""

    empty: bool


class Found(NamedTuple):
    """What a broker says of itself."""

    ready: bool
    draining: bool
    instance: str
    empty: bool


class Prober:
    """Asks every broker in its own time: one that does not answer holds up no other's probe."""

    def __init__(
        self,
        members: "Members",
        session: aiohttp.ClientSession,
        options: ProxyOptions,
        clock: Clock,
        lifecycle: Lifecycle,
    ) -> None:
        self._members = members
        self._session = session
        self._options = options
        self._clock = clock
        self._lifecycle = lifecycle

    async def once(self) -> None:
        """Ask every broker once."""
        await asyncio.gather(*(self._probe(member) for member in self._members))

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            await self._clock.sleep(self._options.probe_seconds)
            for member in self._members:
                name = f"probe of {member.name}"
                if not self._lifecycle.has(name):
                    self._lifecycle.spawn(name, self._probe(member), vital=True)

    async def _probe(self, member: Member) -> None:
        member.tally.probes += 1
        url, draining = member.url, member.draining
        try:
            async with asyncio.timeout(self._options.probe_timeout_seconds):
                found = await self._ask(member)
        except (*_NO_ANSWER, *_NONSENSE) as error:
            member.tally.probe_failures += 1
            if url == member.url:
                self._members.not_found(member, repr(error))
            return
        if member.draining != draining:  # a request was told so meanwhile
            found = found._replace(draining=member.draining)
        if url == member.url:
            self._members.found(member, found)

    async def _ask(self, member: Member) -> Found:
        status, body = await self._get(f"{member.url}/ready")
        readiness = msgspec.json.decode(body, type=Readiness)
        _, body = await self._get(f"{member.url}/stats")
        stats = msgspec.json.decode(body, type=BrokerStats)
        empty = False
        if readiness.draining or member.left_at is not None:
            drained, body = await self._get(f"{member.url}/drain")
            empty = drained == 200 and msgspec.json.decode(body, type=DrainState).empty
        return Found(status == 200, readiness.draining, stats.broker, empty)

    async def _get(self, url: str) -> tuple[int, bytes]:
        async with self._session.get(url, allow_redirects=False) as answer:
            body = await answer.content.read(MAX_ANSWER_BYTES)
            while chunk := await answer.content.read(MAX_ANSWER_BYTES):
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise aiohttp.ClientPayloadError("an answer to a probe is too long")
            return answer.status, body
