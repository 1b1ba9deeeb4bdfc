"""`telemetry scale`: make brokers ready for another number of replicas of their StatefulSet.

Those above the number are emptied, so that they can be taken away; those below it take produces
again, whoever drained them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from rich.console import Console

from cli.scale_options import DRAIN, RESUME, ScaleOptions
from common.clock import Clock, SystemClock
from common.errors import TelemetryError, Unauthorized
from common.http.tls import client_context
from common.queue.http import open_session, request
from proxy.membership import Address, StatefulSet, UnknownError, resolves
from proxy.options import ProxyOptions

ASK_SECONDS = 10.0
LOOK_SECONDS = 1.0
EXIT_NOT_DONE = 1

Say = Callable[[str], None]


class NotDoneError(Exception):
    """A broker is not as it should be; the text says which and why."""


def run_scale(options: ScaleOptions) -> int:
    """Scale and say what was done; return the exit code."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        asyncio.run(Scaler(options, SystemClock(), lambda text: console.print(text)).run())
    except (NotDoneError, UnknownError, TelemetryError) as error:
        Console(stderr=True, highlight=False).print(f"error: {error}", style="red", markup=False)
        return EXIT_NOT_DONE
    return 0


class Scaler:
    """Asks every broker itself: none of this needs a proxy that is up."""

    def __init__(
        self,
        options: ScaleOptions,
        clock: Clock,
        say: Say,
        find: Callable[[], Awaitable[Sequence[Address]]] | None = None,
    ) -> None:
        self._options = options
        self._clock = clock
        self._say = say
        self._find = find or self._by_name
        self._tls = client_context(options.tls_ca_file)

    async def run(self) -> None:
        """Do what is asked; raises NotDoneError, with the first broker that stands in the way."""
        brokers = await self._find()
        staying, leaving = (
            brokers[: self._options.broker_count],
            brokers[self._options.broker_count :],
        )
        if self._options.only != RESUME:
            await asyncio.gather(*(self._empty(broker) for broker in leaving))
        if self._options.only != DRAIN:
            await asyncio.gather(*(self._resume(broker) for broker in staying))
        self._say(f"{len(staying)} brokers are to work, {len(leaving)} may go")

    async def _by_name(self) -> Sequence[Address]:
        given = self._options
        named = ProxyOptions(
            service_token=given.service_token,
            broker_service=given.broker_service,
            broker_count=given.broker_count,
            broker_port=given.broker_port,
            namespace=given.namespace,
            tls_ca_file=given.tls_ca_file,
        )
        members = StatefulSet(named, resolves)
        found = await members.read()
        while len(more := await members.read()) > len(found):  # it looks a few names ahead
            found = more
        return found

    async def _empty(self, broker: Address) -> None:
        """Drain a broker until nothing on it is wanted; said again and again, should it restart."""
        self._say(f"{broker.name} drains")
        state = await self._until(broker, "POST", "/drain", lambda state: bool(state["empty"]))
        if not state["empty"]:
            raise NotDoneError(
                f"{broker.name} still holds {state['messages']} messages and "
                f"{state['dead_letters']} dead letters that somebody may want"
            )
        self._say(f"{broker.name} is empty")

    async def _resume(self, broker: Address) -> None:
        state = await self._until(broker, "GET", "/drain", lambda state: True)
        if state["draining"]:
            await self._ask(broker, "POST", "/resume")
            self._say(f"{broker.name} takes produces again")

    async def _until(
        self, broker: Address, method: str, path: str, holds: Callable[[Any], bool]
    ) -> Any:
        """Ask until the answer is right, or time is over: the last answer there was."""
        deadline = self._clock.monotonic() + self._options.timeout_seconds
        last: Any = None
        while True:
            problem = "it does not answer"
            try:
                last = await self._ask(broker, method, path)
                if holds(last):
                    return last
            except Unauthorized:
                raise
            except TelemetryError as error:
                problem = str(error)
            if self._clock.monotonic() >= deadline:
                if last is None:
                    raise NotDoneError(f"{broker.name} at {broker.url}: {problem}")
                return last
            await self._clock.sleep(LOOK_SECONDS)

    async def _ask(self, broker: Address, method: str, path: str) -> Any:
        token = self._options.service_token
        session = open_session(broker.url, token, ASK_SECONDS, self._tls)
        try:
            return await request(session, method, path)
        finally:
            await session.close()
