"""``POST /ack``, ``/nack`` and ``/extend`` to the brokers that gave the receipts."""

import asyncio
from collections import defaultdict
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from starlette.types import Receive, Scope, Send

from common.errors import BrokerUnreachable, InvalidRequest, NotFound, ReceiptStale, TelemetryError
from common.http.answers import send_json
from common.http.body import decode_json, parameters, read_body
from common.wire import SettleRequest, check_name, parse_receipt
from proxy.proxy import Proxy

RECEIPT_FIELDS = ("id", "ids")


class Part(NamedTuple):
    """What one broker made of its receipts."""

    done: int
    already: int
    refused: dict[str, str]


class Settle:
    """ASGI endpoint: a receipt names its broker, wherever the ring points now.

    ``word`` is what the brokers' answers call the messages that it was done with.
    """

    def __init__(self, proxy: Proxy, verb: str, word: str) -> None:
        self._proxy = proxy
        self._verb = verb
        self._word = word

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        check_name(given.get("topic"), "topic")
        body = await read_body(scope, receive, self._proxy.options.max_body_bytes)
        by_broker, rest = read_request(body)
        target = f"/{self._verb}?" + urlencode(given)
        parts = await asyncio.gather(
            *(
                self._settle(broker, target, {**rest, "ids": receipts})
                for broker, receipts in by_broker.items()
            )
        )
        done, already, refused = merge(parts)
        await send_json(send, {self._word: done, "already": already, "refused": refused})

    async def _settle(self, broker: str, target: str, request: dict[str, Any]) -> Part:
        """Settle at one broker; when it cannot be asked, each receipt says why."""
        receipts = request["ids"]
        member = self._proxy.members.by_instance(broker)
        if member is None:
            return Part(0, 0, dict.fromkeys(receipts, "UNKNOWN_BROKER"))
        body = msgspec.json.encode(request)
        try:
            answer = await self._proxy.ask(member, "POST", target, body)
        except ReceiptStale as error:
            return Part(0, 0, dict(error.details))
        except NotFound:
            return Part(0, 0, dict.fromkeys(receipts, "UNKNOWN"))
        except TelemetryError as error:
            if error.retry_after_seconds is None:
                raise
            return Part(0, 0, dict.fromkeys(receipts, error.code))
        return Part(answer[self._word], answer["already"], answer["refused"])


def read_request(body: bytes) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """The receipts of a body by broker, and its other fields, which are the brokers' to judge."""
    fields = decode_json(body, dict[str, Any])
    given = {name: fields[name] for name in RECEIPT_FIELDS if name in fields}
    try:
        receipts = msgspec.convert(given, SettleRequest).receipts()
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"the JSON body cannot be read: {error}") from error
    by_broker: defaultdict[str, list[str]] = defaultdict(list)
    for text in receipts:
        by_broker[parse_receipt(text).broker].append(text)
    rest = {name: value for name, value in fields.items() if name not in RECEIPT_FIELDS}
    return by_broker, rest


def merge(parts: list[Part]) -> Part:
    """One answer for all brokers; raises when not one receipt was accepted."""
    refused = {receipt: why for part in parts for receipt, why in part.refused.items()}
    whole = Part(sum(part.done for part in parts), sum(part.already for part in parts), refused)
    if whole.done or whole.already or not refused:
        return whole
    if BrokerUnreachable.code in refused.values():
        raise BrokerUnreachable("the broker that gave the receipts is away", details=refused)
    raise ReceiptStale("no receipt is held any more", details=refused)
