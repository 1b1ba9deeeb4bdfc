"""``POST /dlq``: dead letters that a consumer writes itself.

A part of a message, or what turns out to be unusable after the ack, has no receipt to reject.
"""

import base64
import binascii

import msgspec
from starlette.types import Receive, Scope, Send

from broker.broker import Broker
from broker.deadletters import DeadLetter
from broker.settle import MAX_REASON
from broker.topic import Topic
from broker.topic_file import refusal
from broker.verdicts import REJECTED
from common.errors import InvalidRequest, Overloaded, TooLarge
from common.http.answers import send_json
from common.http.body import decode_json, integer, parameters, read_body
from common.wire import DEFAULT_GROUP, LetterEnvelope, check_name, read_count

MAX_ID = 256

Written = tuple[DeadLetter, bytes]


class LettersRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /dlq``."""

    letters: list[LetterEnvelope]


class WriteLetters:
    """ASGI endpoint: keep letters, each id once."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._broker.letting_in("letter"):
            answer = await self._keep(scope, receive)
        await send_json(send, answer)

    async def _keep(self, scope: Scope, receive: Receive) -> dict[str, int]:
        given = parameters(scope)
        name = check_name(given.get("topic"), "topic")
        group = check_name(given.get("group", DEFAULT_GROUP), "group")
        body = await read_body(scope, receive, self._broker.options.max_body_bytes)
        letters = decode_json(body, LettersRequest).letters
        if len(letters) > self._broker.options.max_batch:
            raise TooLarge(f"a request holds at most {self._broker.options.max_batch} letters")
        topic = await self._broker.topics.ensure(name, read_count(given))
        partition = integer(given, "partition", 0, 0, len(topic.partitions) - 1)
        now_ms = int(self._broker.clock.wall() * 1000)
        written = [as_written(letter, partition, now_ms) for letter in letters]
        self._admit(topic, group)
        try:
            kept = await (await topic.dead_letters(group)).add_once(written)
        except OSError as error:
            raise refusal(error) from error
        return {"kept": kept, "already": len(written) - kept}

    def _admit(self, topic: Topic, group: str) -> None:
        """Refuse one more queue where there are as many as a topic may have groups."""
        most = self._broker.options.max_groups
        if group not in topic.dead and len({*topic.dead, *topic.groups()} - {group}) >= most:
            raise Overloaded(f"topic {topic.name} has {most} groups and takes no more")


def as_written(letter: LetterEnvelope, partition: int, now_ms: int) -> Written:
    """A letter as it is kept; raises InvalidRequest."""
    if not (0 < len(letter.id) <= MAX_ID and letter.id.isascii() and letter.id.isprintable()):
        raise InvalidRequest(f"a letter's id has 1 to {MAX_ID} printable ASCII characters")
    if len(letter.error) > MAX_REASON:
        raise InvalidRequest(f"a letter's error has at most {MAX_REASON} characters")
    kept = DeadLetter(
        partition=partition,
        offset=letter.offset,
        attempts=letter.attempts,
        reason=REJECTED,
        error=letter.error,
        dead_at=now_ms,
        id=letter.id,
    )
    return kept, payload_of(letter)


def payload_of(letter: LetterEnvelope) -> bytes:
    """The payload, byte for byte."""
    if (letter.payload is None) == (letter.payload_base64 is None):
        raise InvalidRequest("a letter has either payload or payload_base64")
    if letter.payload is not None:
        return letter.payload.encode()
    try:
        return base64.b64decode(letter.payload_base64 or "", validate=True)
    except binascii.Error as error:
        raise InvalidRequest(f"payload_base64 is none: {error}") from error
