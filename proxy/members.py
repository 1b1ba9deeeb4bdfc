"""The brokers behind this proxy: who is one, who owns what, who is well."""

import asyncio
from collections.abc import Iterator, Sequence

from common import logs
from common.breaker import Breaker
from common.clock import Clock
from common.errors import BrokerUnreachable
from proxy.member import Member
from proxy.membership import Address
from proxy.options import ProxyOptions
from proxy.probe import Found
from proxy.ring import Ring

log = logs.get("proxy.members")

SILENCES_THAT_CUT = 2


class Members:
    """Owns the members, and the one ring that routing, status and plans are read from."""

    def __init__(self, options: ProxyOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._members: dict[str, Member] = {}
        self._changed = asyncio.Event()
        self.ring = Ring((), options.virtual_nodes)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, member: Member) -> bool:
        return self._members.get(member.name) is member

    def well(self) -> list[Member]:
        """Those that were ready when last asked."""
        return [member for member in self if member.ready]

    def listed(self) -> list[Member]:
        """Those that are to stay."""
        return [member for member in self if member.left_at is None]

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

    def some(self) -> Member:
        """A broker, a ready one if there is one; raises BrokerUnreachable."""
        members = self.well() or list(self)
        if not members:
            raise BrokerUnreachable("there is no broker")
        return members[0]

    async def changed(self) -> None:
        """Return when a broker has joined or is gone."""
        await self._changed.wait()

    def follow(self, brokers: Sequence[Address]) -> None:
        """Take over a list: new ones join, those not in it leave once they are empty."""
        for address in brokers:
            self._join(address)
        names = {address.name for address in brokers}
        for member in self.listed():
            if member.name not in names:
                member.left_at = self._clock.monotonic()
                log.info("broker left the list", broker=member.name, empty=member.empty)
        self._place()

    def found(self, member: Member, found: Found) -> None:
        """Take note of what a probe was told."""
        member.silences = 0
        twin = self._twin(member, found.instance)
        if twin is not None:
            self._judge(member, False, f"calls itself {found.instance}, as {twin.name} does")
            return
        member.instance, member.met = found.instance, True
        if found.ready and not member.ready:
            member.breaker.succeeded()  # it is back; one that was there is for requests to judge
        self._judge(member, found.ready, "" if found.ready else "not ready")
        member.empty = found.empty
        self.set_draining(member, found.draining)

    def not_found(self, member: Member, reason: str) -> None:
        """A probe got no answer; after a few, nobody waits for one any more."""
        member.silences += 1
        self._judge(member, False, reason)
        if member.silences >= SILENCES_THAT_CUT:
            member.cut_calls()

    def set_draining(self, member: Member, draining: bool) -> None:
        """It takes no produce any more, or takes them again."""
        if member.draining != draining:
            log.info("broker drains" if draining else "broker takes part", broker=member.name)
            member.draining = draining
            self._place()

    def release(self) -> None:
        """Let go of those that left and hold nothing, or have not been heard of for long."""
        for member in [member for member in self if self._may_go(member)]:
            level = log.info if member.empty else log.warning
            level("broker let go", broker=member.name, empty=member.empty)
            del self._members[member.name]
            self._tell()

    def _join(self, address: Address) -> None:
        member = self._members.get(address.name)
        if member is None:
            breaker = Breaker(self._clock, self._options.breaker_seconds)
            self._members[address.name] = Member(address.name, address.url, breaker)
            log.info("broker joined", broker=address.name, url=address.url)
            self._tell()
            return
        member.left_at = None
        if member.url != address.url:
            log.info("broker moved", broker=address.name, url=address.url)
            member.move_to(address.url)

    def _place(self) -> None:
        names = sorted(member.name for member in self if member.owns)
        if names != sorted(self.ring.names):
            self.ring = Ring(names, self._options.virtual_nodes)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _may_go(self, member: Member) -> bool:
        """An empty broker that drains stays so; another proxy may still fill one that does not."""
        if member.left_at is None:
            return False
        if member.empty and member.draining:
            return True
        passed = self._clock.monotonic() - member.left_at
        return passed > self._options.member_expiry_seconds and (member.empty or member.silent)

    def _twin(self, member: Member, instance: str) -> Member | None:
        """Another broker that writes the same name into its receipts."""
        others = (other for other in self if other is not member and other.met)
        return next((other for other in others if other.instance == instance), None)

    def _judge(self, member: Member, ready: bool, reason: str) -> None:
        if member.ready != ready:
            level = log.info if ready else log.warning
            level("broker is up" if ready else "broker is down", broker=member.name, reason=reason)
        member.ready, member.reason = ready, reason
