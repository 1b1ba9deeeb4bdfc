"""The proxy as a service: members, the client to them, what it learned of topics."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry

from common import logs
from common.clock import Clock, SystemClock
from common.errors import BrokerUnreachable
from common.lifecycle import Lifecycle
from common.queue.http import as_error, read_json
from proxy.member import Member
from proxy.members import Members
from proxy.membership import Resolve, UnknownError, membership, resolves
from proxy.metrics import ProxyCollector
from proxy.options import ProxyOptions
from proxy.probe import Prober
from proxy.topics import Topics
from proxy.upstream import NotSentError, Reply, Upstream

log = logs.get("proxy")

NO_BROKER = "no broker is ready"


class Proxy:
    """Everything one proxy process has; it keeps nothing that another replica would miss."""

    name = "proxy"

    def __init__(
        self,
        options: ProxyOptions,
        lifecycle: Lifecycle,
        clock: Clock | None = None,
        resolve: Resolve = resolves,
    ) -> None:
        self.options = options
        self.lifecycle = lifecycle
        self.clock = clock or SystemClock()
        self.registry = CollectorRegistry()
        self.members = Members(options, self.clock)
        self.topics = Topics(self)
        self.failovers = 0
        self._membership = membership(options, resolve)
        self._upstream: Upstream | None = None
        self.membership_problem = ""
        self._began = self.clock.monotonic()
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
        prober = Prober(
            self.members, self._upstream.session, self.options, self.clock, self.lifecycle
        )
        self.members.follow(self._membership.certain)
        await self._read_membership()
        await prober.once()
        self.judge()
        self.lifecycle.spawn("probes", prober.run(), vital=True)
        self.lifecycle.spawn("membership", self._follow(), vital=True)
        self.lifecycle.spawn("judge", self._judge(), vital=True)
        log.info("proxy ready", brokers=[member.name for member in self.members])

    async def stop(self) -> None:
        """Let go of the brokers."""
        await self.lifecycle.cancel_tasks()
        await self.upstream.close()
        log.info("proxy stopped")

    def stats(self) -> Mapping[str, Any]:
        """Totals of this proxy since it started."""
        tallies = [member.tally for member in self.members]
        requests = sum(tally.requests for tally in tallies)
        failures = sum(tally.failures for tally in tallies)
        return {
            "uptime_seconds": round(self.clock.monotonic() - self._began, 3),
            "requests": requests,
            "failures": failures,
            "success_rate": round(1 - failures / requests, 6) if requests else None,
            "requests_by_verb": dict(self.upstream.verbs),
            "failovers": self.failovers,
            "probes": sum(tally.probes for tally in tallies),
            "probe_failures": sum(tally.probe_failures for tally in tallies),
            "brokers": {member.name: describe(member) for member in self.members},
            "topics": dict(self.topics.known()),
        }

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

    def judge(self) -> None:
        """Say in the readiness whether any broker can be asked."""
        if self.members.well():
            self.lifecycle.problems.pop("brokers", None)
        else:
            self.lifecycle.problems["brokers"] = NO_BROKER

    async def _judge(self) -> None:
        while True:
            await self.clock.sleep(self.options.probe_seconds)
            self.members.release()
            self.judge()

    async def _follow(self) -> None:
        while True:
            await self.clock.sleep(self.options.membership_seconds)
            await self._read_membership()

    async def _read_membership(self) -> None:
        try:
            self.members.follow(await self._membership.read())
        except UnknownError as error:
            self._note_membership(str(error))
        else:
            self._note_membership("")

    def _note_membership(self, problem: str) -> None:
        """A list that cannot be read is no reason to stop serving by the last one."""
        if problem and problem != self.membership_problem:
            log.warning("brokers cannot be listed, the last list stands", reason=problem)
        self.membership_problem = problem


def describe(member: Member) -> dict[str, Any]:
    """What this proxy had to do with a broker."""
    tally = member.tally
    mean = tally.seconds / tally.requests if tally.requests else None
    return {
        "ready": member.ready,
        "requests": tally.requests,
        "failures": tally.failures,
        "mean_seconds": None if mean is None else round(mean, 6),
        "probes": tally.probes,
        "probe_failures": tally.probe_failures,
    }
