"""``/dlq``: looking at dead letters, driving them again, throwing them away."""

from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from broker.broker import Broker
from broker.burial import redrive
from broker.deadletters import DeadLetters, Kept
from broker.events import as_text
from broker.topic import Topic
from common.clock import to_rfc3339
from common.errors import InvalidRequest, NotFound, Overloaded
from common.http.answers import send_json
from common.http.body import decode_json, integer, parameters, read_body
from common.wire import DEFAULT_GROUP, check_name, message_id

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MAX_BODY = 4096
MAX_RATE = 10_000.0


class RedriveRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /dlq/redrive``: messages a second, and which reason alone."""

    rate: float = 100.0
    reason: str = ""


class DeadLetterQueue:
    """What the three endpoints have in common: a topic, a group, its dead letters."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def _find(self, given: dict[str, str]) -> tuple[Topic, str, DeadLetters | None]:
        topic = self._broker.topics.get(check_name(given.get("topic"), "topic"))
        group = check_name(given.get("group", DEFAULT_GROUP), "group")
        if group not in topic.groups() and group not in topic.dead:
            raise NotFound(f"topic {topic.name} has no group {group}")
        return topic, group, topic.dead.get(group)


class ListDead(DeadLetterQueue):
    """``GET /dlq``: a page of dead letters, and how many there are."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        topic, group, dead = self._find(given)
        limit = integer(given, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        first = integer(given, "from", 0, 0, 1 << 62)
        page = await dead.page(first, limit, given.get("reason", "")) if dead else []
        rows = [self._row(topic.name, group, kept) for kept in page]
        body = {"dead_letters": rows, "depth": dead.depth if dead else 0}
        await send_json(send, body | {"next": page[-1].number + 1 if page else first})

    def _row(self, topic: str, group: str, kept: Kept) -> dict[str, Any]:
        letter, broker = kept.letter, self._broker.options.broker_name
        text, encoded = as_text(kept.payload)
        row: dict[str, Any] = {
            "broker": broker,
            "number": kept.number,
            "id": letter.id or message_id(broker, letter.partition, letter.offset),
            "topic": topic,
            "group": group,
            "partition": letter.partition,
            "offset": letter.offset,
            "attempts": letter.attempts,
            "reason": letter.reason,
            "error": letter.error,
            "dead_at": to_rfc3339(letter.dead_at),
            "key": letter.key,
            "headers": letter.headers,
            "payload": text,
        }
        return row if encoded is None else row | {"payload_base64": encoded}


class Redrive(DeadLetterQueue):
    """``POST /dlq/redrive``: begin to deliver dead letters again, to their group alone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        topic, group, dead = self._find(parameters(scope))
        body = await read_body(scope, receive, MAX_BODY)
        request = decode_json(body or b"{}", RedriveRequest)
        if not 0 < request.rate <= MAX_RATE:
            raise InvalidRequest(f"rate must be above 0, at most {MAX_RATE:g}")
        name = f"redrive {topic.name} {group}"
        if self._broker.lifecycle.has(name):
            raise Overloaded("a redrive of this group is under way")
        work = redrive(topic, group, request.reason, request.rate, self._broker.clock)
        self._broker.lifecycle.spawn(name, work)
        await send_json(send, {"redriving": dead.depth if dead else 0})


class PurgeDead(DeadLetterQueue):
    """``DELETE /dlq``: throw dead letters away, all or those of one reason."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        _, _, dead = self._find(given)
        purged = await dead.purge(given.get("reason", "")) if dead else 0
        await send_json(send, {"purged": purged})
