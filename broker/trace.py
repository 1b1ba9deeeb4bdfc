"""``GET /trace/{id}``: what became of one message, for each group."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from broker.broker import Broker
from broker.deadletters import DeadLetter, DeadLetters
from broker.events import as_text
from broker.group import Group
from broker.lease import Lease
from broker.partition import Partition
from broker.subscription import Subscription
from broker.topic import Topic
from common.clock import to_rfc3339
from common.errors import InvalidRequest, NotFound
from common.http.answers import send_json
from common.http.body import parameters
from common.journal.frame import Record
from common.wire import MessageId, check_name, parse_message_id

MOST_LETTERS = 10_000  # looked through for one trace
MOST_PARTS = 100  # of a message whose letters are shown
PAGE = 1000


class Trace:
    """A message by its id, with the state it is in for every group of its topic."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        topic = self._broker.topics.get(check_name(given.get("topic"), "topic"))
        place = parse_message_id(scope["path_params"]["id"])
        with_payload = given.get("payload", "false")
        if with_payload not in ("true", "false"):
            raise InvalidRequest("payload must be true or false")
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
                "message": await self._message(partition, place.offset, with_payload == "true"),
                "groups": [
                    await self._group(topic, partition, group, place.offset)
                    for group in list(partition.groups)
                ],
            },
        )

    async def _message(
        self, partition: Partition, offset: int, with_payload: bool
    ) -> dict[str, Any] | None:
        """What the log says of it; None when it holds it no more."""
        if offset < partition.first_offset:
            return None
        records = await partition.read(offset, 1)
        if not records or records[0].offset > offset:
            return None
        return describe(records[0], offset, with_payload)

    async def _group(
        self, topic: Topic, partition: Partition, group: Group, offset: int
    ) -> dict[str, Any]:
        """The message's state for a group; see docs/protocol.md."""
        row: dict[str, Any] = {"group": group.name}
        place = MessageId(self._broker.options.broker_name, partition.number, offset)
        whole, parts = await find_letters(topic.dead.get(group.name), place)
        row |= self._state(partition, group, offset, whole)
        return row | ({"letters": [describe_letter(each) for each in parts]} if parts else {})

    def _state(
        self, partition: Partition, group: Group, offset: int, letter: DeadLetter | None
    ) -> dict[str, Any]:
        lease = group.leases.of(offset)
        if lease is not None:
            return self._in_flight(lease)
        if offset < group.start:
            return {"state": "before"}
        if not group.finished_within(offset, offset + 1):
            return {"state": "ready", "attempts": group.tried(offset), "paused": group.paused}
        if letter is not None:
            return {"state": "dead"} | describe_letter(letter)
        counts = group.counts(partition.end)
        unsure = counts["dead"] + counts["lost"] + counts["dropped"]
        return {"state": "settled" if unsure else "acked"}

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


def describe(record: Record, offset: int, with_payload: bool) -> dict[str, Any]:
    """A message, without its payload if nobody asked for that."""
    meta = msgspec.msgpack.decode(record.meta) if record.meta else {}
    payload = record.payloads()[offset - record.offset]
    about = {
        "created_at": to_rfc3339(record.created_at),
        "bytes": len(payload),
        "together_with": record.count,
        "key": meta.get("key"),
        "headers": meta.get("headers"),
    }
    if with_payload:
        text, encoded = as_text(payload)
        about |= {"payload": text} if encoded is None else {"payload_base64": encoded}
    return about


def describe_letter(letter: DeadLetter) -> dict[str, Any]:
    """Why a message, or a part of it, is a dead letter."""
    return {
        "attempts": letter.attempts,
        "reason": letter.reason,
        "error": letter.error,
        "dead_at": to_rfc3339(letter.dead_at),
    }


async def find_letters(
    dead: DeadLetters | None, place: MessageId
) -> tuple[DeadLetter | None, list[DeadLetter]]:
    """The letter that a message is, and those that consumers wrote of parts of it.

    The first ``MOST_LETTERS`` are looked through.
    """
    whole: DeadLetter | None = None
    parts: list[DeadLetter] = []
    async for letter in letters_in(dead):
        if (letter.partition, letter.offset) != (place.partition, place.offset):
            continue
        if not letter.id:
            whole = whole or letter
        elif len(parts) < MOST_PARTS and not is_of_another(letter, place):
            parts.append(letter)
    return whole, parts


def is_of_another(letter: DeadLetter, place: MessageId) -> bool:
    """Whether a consumer's letter names another message: failover brings other brokers' letters."""
    try:
        return parse_message_id(letter.id.partition("/")[0]) != place
    except InvalidRequest:
        return False


async def letters_in(dead: DeadLetters | None) -> AsyncIterator[DeadLetter]:
    """The first letters of a queue; of an empty one nothing is read."""
    number, seen = 0, 0
    while dead is not None and dead.depth and seen < MOST_LETTERS:
        page = await dead.page(number, PAGE)
        for kept in page:
            yield kept.letter
        if not page:
            return
        number, seen = page[-1].number + 1, seen + len(page)
