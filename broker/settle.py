"""``POST /ack``, ``/nack`` and ``/extend``: receipts come back."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from starlette.types import Receive, Scope, Send

from broker.broker import Broker
from broker.group import Group
from broker.partition import Partition
from broker.topic import Topic
from broker.verdicts import Nack as Wish
from common.errors import InvalidRequest, NotFound, ReceiptStale
from common.http.answers import send_json
from common.http.body import decode_json, parameters, read_body
from common.queue.base import Settled
from common.wire import DEFAULT_GROUP, Receipt, SettleRequest, check_name, parse_receipt

STALE = "STALE"
UNKNOWN = "UNKNOWN"
WRONG_BROKER = "WRONG_BROKER"
YIELD_EVERY = 1000
MAX_REASON = 1024
MAX_DELAY_SECONDS = 7 * 86400.0

Counts = tuple[int, int]
Act = Callable[[Partition, Group, Receipt], Counts]


class Shown(NamedTuple):
    """A receipt as the client wrote it, and what it says."""

    text: str
    receipt: Receipt


class NackRequest(SettleRequest):
    """Body of ``POST /nack``."""

    mode: Literal["retry", "release", "reject"] = "retry"
    delay_seconds: float | None = None
    reason: str = ""


class ExtendRequest(SettleRequest):
    """Body of ``POST /extend``."""

    seconds: float | None = None


class Settle(ABC):
    """What the three verbs have in common; each says what is done with one receipt.

    ``word`` is what the answer calls the messages that it was done with.
    """

    word = ""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        topic = self._broker.topics.get(check_name(given.get("topic"), "topic"))
        group = check_name(given.get("group", DEFAULT_GROUP), "group")
        if not topic.has_group(group):
            raise NotFound(f"topic {topic.name} has no group {group}")
        body = await read_body(scope, receive, self._broker.options.max_body_bytes)
        receipts, act = self.read(body)
        settled = await self._settle_all(topic, group, receipts, act)
        if settled.refused and not settled.acked and not settled.already:
            raise ReceiptStale("no receipt is held any more", details=settled.refused)
        counts = {self.word: settled.acked, "already": settled.already}
        await send_json(send, counts | {"refused": settled.refused})

    @abstractmethod
    def read(self, body: bytes) -> tuple[list[str], Act]:
        """The receipts of a body, and what is to be done with each.

        An act returns how many messages it settled now, and how many were settled before.
        """

    async def _settle_all(self, topic: Topic, group: str, receipts: list[str], act: Act) -> Settled:
        settled = Settled(refused={})
        shown = [Shown(text, parse_receipt(text)) for text in receipts]
        for number, run in enumerate(runs(shown), 1):
            for text, receipt in self._together(topic, group, run):
                why = self._settle(topic, group, receipt, settled, act)
                if why:
                    settled.refused[text] = why
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        return settled

    def _together(self, topic: Topic, group: str, run: list[Shown]) -> list[Shown]:
        """One receipt for a run of them, if every one of its messages is held."""
        first, last = run[0].receipt, run[-1].receipt
        if len(run) == 1 or first.partition >= len(topic.partitions):
            return run
        place = topic.partitions[first.partition].groups.get(group)
        if place is None or not place.holds_all(first.delivery, first.first, last.last):
            return run
        return [Shown("", first._replace(last=last.last))]

    def _settle(
        self, topic: Topic, group: str, receipt: Receipt, settled: Settled, act: Act
    ) -> str:
        """Settle one receipt; return why it was refused, wholly or in part."""
        if receipt.broker != self._broker.options.broker_name:
            return WRONG_BROKER
        if receipt.partition >= len(topic.partitions):
            return UNKNOWN
        partition = topic.partitions[receipt.partition]
        place = partition.groups.get(group)
        if place is None:
            return UNKNOWN
        done, already = act(partition, place, receipt)
        settled.acked += done
        settled.already += already
        return STALE if done + already <= receipt.last - receipt.first else ""


class Ack(Settle):
    """ASGI endpoint: done with it."""

    word = "acked"

    def read(self, body: bytes) -> tuple[list[str], Act]:
        """See ``Settle``."""
        return decode_json(body, SettleRequest).receipts(), ack


class Nack(Settle):
    """ASGI endpoint: again now, again later, or never."""

    word = "nacked"

    def read(self, body: bytes) -> tuple[list[str], Act]:
        """See ``Settle``."""
        request = decode_json(body, NackRequest)
        check_nack(request)
        wish = Wish(request.mode, request.delay_seconds, request.reason)
        return request.receipts(), lambda partition, group, receipt: (
            partition.nack(group, receipt.delivery, receipt.first, receipt.last, wish),
            0,
        )


class Extend(Settle):
    """ASGI endpoint: more time for a whole delivery."""

    word = "extended"

    def read(self, body: bytes) -> tuple[list[str], Act]:
        """See ``Settle``."""
        request = decode_json(body, ExtendRequest)
        options = self._broker.options
        seconds = options.visibility_timeout_seconds if request.seconds is None else request.seconds
        if not 0 < seconds <= options.max_lease_seconds:
            raise InvalidRequest(f"seconds must be above 0, at most {options.max_lease_seconds:g}")

        def extend(partition: Partition, group: Group, receipt: Receipt) -> Counts:
            count = partition.extend(group, receipt.delivery, receipt.first, receipt.last, seconds)
            return count, 0

        return request.receipts(), extend


def runs(shown: list[Shown]) -> Iterator[list[Shown]]:
    """Receipts of one delivery that follow on one another, together."""
    run: list[Shown] = []
    for one in shown:
        if run and not follows(run[-1].receipt, one.receipt):
            yield run
            run = []
        run.append(one)
    if run:
        yield run


def follows(one: Receipt, other: Receipt) -> bool:
    """Whether a receipt goes on where another of the same delivery ends."""
    return (
        other.first == one.last + 1
        and other.delivery == one.delivery
        and other.partition == one.partition
        and other.broker == one.broker
    )


def ack(partition: Partition, group: Group, receipt: Receipt) -> Counts:
    """Settle the messages of a receipt."""
    return partition.settle(group, receipt.delivery, receipt.first, receipt.last)


def check_nack(request: NackRequest) -> None:
    """Refuse a wish that makes no sense."""
    if request.delay_seconds is not None and not 0 <= request.delay_seconds <= MAX_DELAY_SECONDS:
        raise InvalidRequest(f"delay_seconds must be from 0 to {MAX_DELAY_SECONDS:g}")
    if len(request.reason) > MAX_REASON:
        raise InvalidRequest(f"a reason has at most {MAX_REASON} characters")
