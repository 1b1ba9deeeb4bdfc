"""A local stack on a queue engine that runs already, in place of brokers of its own."""

import asyncio
import contextlib
from pathlib import Path

from pydantic import SecretStr

from cli.service_command import refuse_password
from common.clock import SystemClock
from common.errors import TelemetryError
from common.options import refuse
from common.queue.address import QueueAddress, has_password
from common.queue.base import Consumer, Subscription
from common.queue.factory import open_consumer
from common.queue.options import QueueOptions

ASK_SECONDS = 5.0
NAME = "telemetry"


def find_engine(queue_url: str | None) -> str | None:
    """The engine of ``--queue``, or of QUEUE_URL when that names one; None for our own brokers.

    Leaves the process for an address that is none, or that has a password on the command line.
    """
    if queue_url is not None and has_password(queue_url):
        refuse_password("--queue", "QUEUE_URL")
    options = QueueOptions.load({} if queue_url is None else {"queue_url": queue_url})
    where = QueueAddress(options.queue_url.get_secret_value(), SecretStr(""))
    if where.engine is not None:
        return where.url
    if queue_url is not None:
        refuse(["--queue: a stack brings brokers of its own; name an engine, as redis://HOST"])
    return None


class EngineGroup:
    """How far a group has come on an engine, as far as the engine answers."""

    def __init__(self, url: str, token: str, ca_file: Path | None, topic: str, group: str) -> None:
        self._where = QueueAddress(url, SecretStr(token), ca_file)
        self._wanted = Subscription(topic, group, max_in_flight=1, batch=1, instance_id=NAME)
        self._consumer: Consumer | None = None

    async def lag(self) -> int | None:
        """Messages that the group has still to settle, or None while that cannot be known."""
        if self._consumer is None:
            self._consumer = open_consumer(self._where, self._wanted, SystemClock())
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await self._consumer.lag()
        except (TelemetryError, TimeoutError):
            return None

    async def close(self) -> None:
        """Let go of every connection."""
        if self._consumer is not None:
            with contextlib.suppress(TelemetryError):
                await self._consumer.close()
