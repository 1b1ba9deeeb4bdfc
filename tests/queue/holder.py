"""A process that takes messages and never settles them: ``python -m tests.queue.holder``."""

import asyncio
import os
import sys

from pydantic import SecretStr

from common.clock import SystemClock
from common.queue.address import QueueAddress
from common.queue.base import Subscription
from common.queue.factory import open_consumer


async def hold(topic: str, group: str, wanted: int) -> None:
    """Say once that so many are here, then wait to be killed."""
    where = QueueAddress(os.environ["QUEUE_URL"], SecretStr(os.environ["SERVICE_TOKEN"]))
    consumer = open_consumer(where, Subscription(topic, group, wanted, 1, "holder"), SystemClock())
    held = 0
    async for delivery in consumer.deliveries():
        held += len(delivery.payloads)
        if held == wanted:
            sys.stdout.write("holding\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(hold(sys.argv[1], sys.argv[2], int(sys.argv[3])))
