"""``POST /ack``: receipts come back."""

import asyncio

from starlette.types import Receive, Scope, Send

from broker.broker import Broker
from broker.topics import Topic
from common.errors import NotFound, ReceiptStale
from common.http.answers import send_json
from common.http.body import decode_json, parameters, read_body
from common.queue.base import Settled
from common.wire import Receipt, SettleRequest, check_name, parse_receipt

DEFAULT_GROUP = "default"
STALE = "STALE"
WRONG_BROKER = "WRONG_BROKER"
UNKNOWN = "UNKNOWN"
YIELD_EVERY = 1000


class Ack:
    """ASGI endpoint."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        topic = self._broker.topics.get(check_name(given.get("topic"), "topic"))
        group = check_name(given.get("group", DEFAULT_GROUP), "group")
        if not any(group in part.groups for part in topic.partitions):
            raise NotFound(f"topic {topic.name} has no group {group}")
        body = await read_body(scope, receive, self._broker.options.max_body_bytes)
        settled = Settled(refused={})
        receipts = decode_json(body, SettleRequest).receipts()
        for number, (text, receipt) in enumerate([(t, parse_receipt(t)) for t in receipts], 1):
            self._settle(topic, group, text, receipt, settled)
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        if settled.refused and not settled.acked and not settled.already:
            raise ReceiptStale("no receipt is held any more", details=settled.refused)
        await send_json(send, settled)

    def _settle(
        self, topic: Topic, group: str, text: str, receipt: Receipt, settled: Settled
    ) -> None:
        if receipt.broker != self._broker.options.broker_name:
            settled.refused[text] = WRONG_BROKER
            return
        if receipt.partition >= len(topic.partitions):
            settled.refused[text] = UNKNOWN
            return
        partition = topic.partitions[receipt.partition]
        place = partition.groups.get(group)
        if place is None:
            settled.refused[text] = UNKNOWN
            return
        acked, already = partition.settle(place, receipt.delivery, receipt.first, receipt.last)
        settled.acked += acked
        settled.already += already
        if acked + already <= receipt.last - receipt.first:
            settled.refused[text] = STALE
