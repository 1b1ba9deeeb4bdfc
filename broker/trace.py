"""``GET /trace/{id}``: what became of one message, for each group."""

from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from broker.broker import Broker
from broker.deadletters import DeadLetter, DeadLetters
from broker.group import Group
from broker.lease import Lease
from broker.partition import Partition
from broker.subscription import Subscription
from broker.topic import Topic
from common.clock import to_rfc3339
from common.errors import NotFound
from common.http.answers import send_json
from common.http.body import parameters
from common.journal.frame import Record
from common.wire import check_name, parse_message_id

MOST_LETTERS = 10_000  # looked through for one trace
PAGE = 1000


class Trace:
    """A message by its id, with the state it is in for every group of its topic."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        topic = self._broker.topics.get(check_name(given.get("topic"), "topic"))
        place = parse_message_id(scope["path_params"]["id"])
        own = self._broker.options.broker_name
        if place.broker != own:
            raise NotFound(f"this is {own}; {place.broker} has that message, or had it")
        partition = topic.partition(place.partition)
        if place.offset >= partition.end:
            raise NotFound(f"no message was given this offset yet; the next one is {partition.end}")
        await send_json(
            send,
            {
                "id": str(place),
                "topic": topic.name,
                "broker": own,
                "partition": place.partition,
                "offset": place.offset,
                "message": await self._message(partition, place.offset),
                "groups": [
                    await self._group(topic, partition, group, place.offset)
                    for group in list(partition.groups)
                ],
            },
        )

    async def _message(self, partition: Partition, offset: int) -> dict[str, Any] | None:
        """What the log says of it; None when it holds it no more."""
        if offset < partition.first_offset:
            return None
        records = await partition.read(offset, 1)
        return describe(records[0], offset) if records and records[0].offset <= offset else None

    async def _group(
        self, topic: Topic, partition: Partition, group: Group, offset: int
    ) -> dict[str, Any]:
        """The message's state for a group; see docs/protocol.md."""
        row: dict[str, Any] = {"group": group.name, "state": "ready"}
        lease = group.leases.of(offset)
        if lease is not None:
            return row | self._in_flight(lease)
        if offset < group.start:
            return row | {"state": "before"}
        if not group.finished_within(offset, offset + 1):
            return row | {"attempts": group.tried(offset), "paused": group.paused}
        counts = group.counts(partition.end)
        if not counts["dead"] + counts["lost"] + counts["dropped"]:
            return row | {"state": "acked"}
        letter = await find_letter(topic.dead.get(group.name), partition.number, offset)
        return row | (describe_letter(letter) if letter else {"state": "settled"})

    def _in_flight(self, lease: Lease) -> dict[str, Any]:
        left = lease.deadline - self._broker.clock.monotonic()
        row = {
            "state": "in_flight",
            "attempts": lease.attempt,
            "delivery": lease.delivery,
            "deadline_seconds": round(max(0.0, left), 3),
        }
        if isinstance(lease.holder, Subscription):
            member = lease.holder.member
            row |= {"member": member.id, "client": member.client}
        return row


def describe(record: Record, offset: int) -> dict[str, Any]:
    """A message without its payload."""
    meta = msgspec.msgpack.decode(record.meta) if record.meta else {}
    return {
        "created_at": to_rfc3339(record.created_at),
        "bytes": len(record.payloads()[offset - record.offset]),
        "together_with": record.count,
        "key": meta.get("key"),
        "headers": meta.get("headers"),
    }


def describe_letter(letter: DeadLetter) -> dict[str, Any]:
    """Why a message is a dead letter."""
    return {
        "state": "dead",
        "attempts": letter.attempts,
        "reason": letter.reason,
        "error": letter.error,
        "dead_at": to_rfc3339(letter.dead_at),
    }


async def find_letter(dead: DeadLetters | None, partition: int, offset: int) -> DeadLetter | None:
    """The dead letter of a message, if it is among the first ``MOST_LETTERS``."""
    number, seen = 0, 0
    while dead is not None and seen < MOST_LETTERS:
        page = await dead.page(number, PAGE)
        for kept in page:
            if (kept.letter.partition, kept.letter.offset) == (partition, offset):
                return kept.letter
        if not page:
            break
        number, seen = page[-1].number + 1, seen + len(page)
    return None
