"""The queue as a client sees it: reachable, the same token, brokers ready, work spread."""

import ssl
import time
from collections import Counter
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from pydantic import SecretStr

from cli.doctor.finding import Ward
from cli.doctor.machine import check_skew
from common.errors import TelemetryError, Unauthorized
from common.queue.http import open_session, request

REQUEST_SECONDS = 5.0
TOO_LARGE_SHARE = 1.5  # of the mean


async def check_queue(
    ward: Ward, option: str, url: str, token: SecretStr, tls: ssl.SSLContext | None = None
) -> None:
    """The proxy, or a broker alone, and all that stands behind it."""
    try:
        session = open_session(url, token, REQUEST_SECONDS, tls)
    except ValueError as error:
        ward.fail("queue", f"{option}: {url} is no address: {error}", "as http://proxy:7080")
        return
    async with session:
        if not await check_listener(ward, option, url, session):
            return
        try:
            topics = (await request(session, "GET", "/topics"))["topics"]
        except Unauthorized:
            ward.fail(
                "token",
                f"{option}: {url} does not know our SERVICE_TOKEN",
                "give every service of the stack the same SERVICE_TOKEN",
            )
            return
        except TelemetryError as error:
            ward.fail("queue", f"{option}: {url}: {error.message}", "see its /ready and its log")
            return
        ward.ok("token", f"{option}: {url} takes our SERVICE_TOKEN")
        await _check_ring(ward, session, topics)


async def check_listener(ward: Ward, option: str, url: str, session: aiohttp.ClientSession) -> bool:
    """Whether one of our services listens, and what time it has."""
    try:
        async with session.get("/ready") as answer:
            body = await answer.json(content_type=None)
            reasons = body["reasons"]
            date = answer.headers.get("Date")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        ward.fail(
            "queue",
            f"{option}: nobody answers at {url}: {error or type(error).__name__}",
            "start it, or correct the address; between machines, look at the firewall",
        )
        return False
    except (ValueError, KeyError, TypeError):
        ward.fail("queue", f"{option}: what answers at {url} is another program", "correct it")
        return False
    if date:
        check_skew(ward, url, parsedate_to_datetime(date).timestamp(), time.time())
    if reasons:
        ward.fail("ready", f"{url} is not ready: {', '.join(reasons)}", "see its log")
    return True


async def _check_ring(ward: Ward, session: aiohttp.ClientSession, topics: Any) -> None:
    try:
        status = await request(session, "GET", "/status")
    except TelemetryError:
        return  # a broker alone has no ring
    for row in status["brokers"]:
        check_broker(ward, row)
    if status["membership_problem"]:
        ward.fail(
            "brokers",
            f"the list of brokers cannot be read: {status['membership_problem']}",
            "correct BROKERS_FILE, or the name of the headless service",
        )
    listed = [row["broker"] for row in status["brokers"] if row["listed"] and not row["draining"]]
    for topic, owners in status["owners"].items():
        check_spread(ward, topic, owners, listed)
    astray = sum(row["messages"] for row in status["strays"])
    if astray:
        ward.warn(
            "ring",
            f"{astray} messages lie on brokers that do not own their partition any more",
            "nothing: they are delivered from there; if the number stays, a group has no consumer",
        )


def check_broker(ward: Ward, row: dict[str, Any]) -> None:
    """One broker, as the proxy sees it."""
    name = row["broker"]
    if row["draining"]:
        ward.warn("brokers", f"{name} is being drained", "telemetry topics shows what it still has")
    elif not row["ready"]:
        ward.fail("brokers", f"{name} is not ready: {row['reason']}", f"see the log of {name}")
    else:
        ward.ok("brokers", f"{name} is ready")
    if row["ready"] and row["instance"] not in ("", name):
        ward.warn(
            "brokers",
            f"{name} calls itself {row['instance']}",
            "let BROKERS and BROKER_NAME agree; the ring goes by BROKERS",
        )


def check_spread(ward: Ward, topic: str, owners: list[str], listed: list[str]) -> None:
    """Partitions are the unit of work: as many as brokers at least, and none with far too many."""
    if len(owners) < len(listed):
        ward.warn(
            "ring",
            f"topic {topic} has {len(owners)} partitions for {len(listed)} brokers: some are idle",
            f"PUT /topics/{topic} with more partitions, or TOPICS before the first start",
        )
        return
    most_loaded, most = Counter(owners).most_common(1)[0]
    mean = len(owners) / max(1, len(listed))
    if most >= max(TOO_LARGE_SHARE * mean, mean + 1):
        ward.warn(
            "ring",
            f"{most_loaded} owns {most} of the {len(owners)} partitions of {topic}",
            "more partitions spread better; telemetry topics --plan shows other numbers",
        )
    else:
        ward.ok("ring", f"topic {topic}: {len(owners)} partitions on {len(listed)} brokers")
