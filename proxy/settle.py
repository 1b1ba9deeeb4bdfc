"""``POST /ack`` to the brokers that gave the receipts."""

import asyncio
from collections import defaultdict
from urllib.parse import urlencode

import msgspec
from starlette.types import Receive, Scope, Send

from common.errors import BrokerUnreachable, ReceiptStale, TelemetryError
from common.http.answers import send_json
from common.http.body import decode_json, parameters, read_body
from common.queue.base import Settled
from common.wire import SettleRequest, check_name, parse_receipt
from proxy.proxy import Proxy


class Ack:
    """ASGI endpoint: a receipt names its broker, wherever the ring points now."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        check_name(given.get("topic"), "topic")
        body = await read_body(scope, receive, self._proxy.options.max_body_bytes)
        by_broker: defaultdict[str, list[str]] = defaultdict(list)
        for text in decode_json(body, SettleRequest).receipts():
            by_broker[parse_receipt(text).broker].append(text)
        target = "/ack?" + urlencode(given)
        answers = await asyncio.gather(
            *(self._settle(broker, target, receipts) for broker, receipts in by_broker.items())
        )
        await send_json(send, merge(answers))

    async def _settle(self, broker: str, target: str, receipts: list[str]) -> Settled:
        """Settle at one broker; when it cannot be asked, each receipt says why."""
        member = self._proxy.members.by_instance(broker)
        if member is None:
            return Settled(refused=dict.fromkeys(receipts, "UNKNOWN_BROKER"))
        body = msgspec.json.encode({"ids": receipts})
        try:
            return msgspec.convert(await self._proxy.ask(member, "POST", target, body), Settled)
        except ReceiptStale as error:
            return Settled(refused=dict(error.details))
        except TelemetryError as error:
            if error.retry_after_seconds is None:
                raise
            return Settled(refused=dict.fromkeys(receipts, error.code))


def merge(answers: list[Settled]) -> Settled:
    """One answer for all brokers; raises when not one receipt was accepted."""
    refused = {receipt: why for answer in answers for receipt, why in answer.refused.items()}
    settled = Settled(
        acked=sum(answer.acked for answer in answers),
        already=sum(answer.already for answer in answers),
        refused=refused,
    )
    if settled.acked or settled.already or not refused:
        return settled
    if BrokerUnreachable.code in refused.values():
        raise BrokerUnreachable("the broker that gave the receipts is away", details=refused)
    raise ReceiptStale("no receipt is held any more", details=refused)
