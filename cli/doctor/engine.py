"""A queue engine of others: reachable, with our credentials, as a client of it sees it."""

import asyncio

from cli.doctor.finding import Ward
from common.clock import SystemClock
from common.errors import TelemetryError
from common.queue.address import QueueAddress, without_secrets
from common.queue.factory import open_producer

ASK_SECONDS = 10.0


async def check_engine(ward: Ward, where: QueueAddress, topic: str) -> None:
    """Ask for the topic's partitions; it is made when it is not there, as a streamer would."""
    shown = without_secrets(where.url)
    producer = open_producer(where, SystemClock())
    try:
        async with asyncio.timeout(ASK_SECONDS):
            count = await producer.partitions(topic)
    except (TelemetryError, TimeoutError) as error:
        reason = str(error) or f"no answer within {ASK_SECONDS:g} s"
        ward.fail("queue", f"QUEUE_URL: {shown}: {reason}", "docs/engines.md says what it needs")
    else:
        ward.ok("queue", f"{shown} answers: topic {topic} has {count} partitions")
    finally:
        await producer.close()
