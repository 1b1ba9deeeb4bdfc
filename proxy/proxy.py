"""The proxy as a service: members, the client to them, what it learned of topics."""

import asyncio
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry

from common import logs
from common.clock import Clock, SystemClock
from common.errors import BrokerUnreachable
from common.lifecycle import Lifecycle
from common.queue.http import as_error, read_json
from proxy.members import Member, Members
from proxy.metrics import ProxyCollector
from proxy.options import ProxyOptions
from proxy.upstream import NotSentError, Reply, Upstream

log = logs.get("proxy")

NO_BROKER = "no broker is ready"


class Proxy:
    """Everything one proxy process has; it keeps nothing that another replica would miss."""

    name = "proxy"

    def __init__(
        self, options: ProxyOptions, lifecycle: Lifecycle, clock: Clock | None = None
    ) -> None:
        self.options = options
        self.lifecycle = lifecycle
        self.clock = clock or SystemClock()
        self.registry = CollectorRegistry()
        self.members = Members(options, self.clock)
        self.failovers = 0
        self._upstream: Upstream | None = None
        self._partitions: dict[str, int] = {}
        self.registry.register(ProxyCollector(self))

    @property
    def upstream(self) -> Upstream:
        """The client to the brokers."""
        if self._upstream is None:
            raise BrokerUnreachable("the proxy is not started")
        return self._upstream

    async def start(self) -> None:
        """Look at every broker once, then keep looking."""
        self._upstream = Upstream(self.options)
        await self.members.probe(self._upstream.session)
        self._judge()
        self.lifecycle.spawn("probes", self._probe(), vital=True)
        log.info("proxy ready", brokers=[member.name for member in self.members])

    async def stop(self) -> None:
        """Let go of the brokers."""
        await self.lifecycle.cancel_tasks()
        await self.upstream.close()
        log.info("proxy stopped")

    def stats(self) -> Mapping[str, Any]:
        """Totals of this proxy."""
        return {
            "brokers": {member.name: member.ready for member in self.members},
            "failovers": self.failovers,
            "topics": dict(self._partitions),
        }

    async def partitions(self, topic: str) -> int:
        """The partition count of a topic, which is made when it is not there."""
        known = self._partitions.get(topic)
        if known is None:
            known = await self._largest_count(topic)
            if not known:
                reply = await self.ask_any("PUT", f"/topics/{topic}", b"{}")
                known = int(self.read(reply)["partition_count"])
            self._partitions[topic] = known
        return known

    def unlearn(self, topic: str) -> None:
        """Ask for the partition count of a topic anew: it may have grown, or be gone."""
        self._partitions.pop(topic, None)

    async def _largest_count(self, topic: str) -> int:
        """The partition count that the brokers know, 0 if none does.

        A broker that was away when the topic was made learns it with the first request for it.
        """
        asked = (self.ask(member, "GET", "/topics") for member in self.members.well())
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return max(
            (
                row["partition_count"]
                for answer in answers
                if isinstance(answer, dict)
                for row in answer["topics"]
                if row["topic"] == topic
            ),
            default=0,
        )

    async def ask_any(self, method: str, target: str, body: bytes) -> Reply:
        """Ask the brokers in turn until one answers."""
        reason = NO_BROKER
        for member in self.members.well() or self.members:
            try:
                return await self.upstream.call(member, method, target, {}, body)
            except (NotSentError, BrokerUnreachable) as error:
                reason = str(error)
        raise BrokerUnreachable(reason)

    async def ask(self, member: Member, method: str, target: str, body: bytes = b"") -> Any:
        """Ask one broker and return its JSON; an error answer is raised as the error it was."""
        if member.silent:
            raise BrokerUnreachable(f"{member.name} does not answer: {member.reason}")
        try:
            return self.read(await self.upstream.call(member, method, target, {}, body))
        except NotSentError as error:
            raise BrokerUnreachable(str(error)) from error

    def read(self, reply: Reply) -> Any:
        """The JSON of an answer; an error answer is raised as the error it was."""
        if reply.status != 200:
            raise as_error(reply.status, reply.body, reply.retry_after)
        return read_json(reply.body)

    async def _probe(self) -> None:
        while True:
            await self.clock.sleep(self.options.probe_seconds)
            await self.members.probe(self.upstream.session)
            self._judge()

    def _judge(self) -> None:
        if self.members.well():
            self.lifecycle.problems.pop("brokers", None)
        else:
            self.lifecycle.problems["brokers"] = NO_BROKER
