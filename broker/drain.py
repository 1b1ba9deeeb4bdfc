"""``/drain``: empty a broker before it is taken away."""

from typing import Any

from starlette.types import Receive, Scope, Send

from broker.broker import Broker
from broker.partition import Partition
from common.http.answers import send_json


class Drain:
    """``POST /drain``: take no produce any more, serve what is there, say when it is out."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._broker.set_draining(True)
        await send_json(send, drain_state(self._broker))


class ShowDrain:
    """``GET /drain``: how far it is."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, drain_state(self._broker))


def drain_state(broker: Broker) -> dict[str, Any]:
    """Whether the broker is being drained, and what it still holds that somebody may want."""
    messages = sum(map(unsettled, broker.topics.partitions()))
    letters = sum(dead.depth for topic in broker.topics.all() for dead in topic.dead.values())
    return {
        "draining": broker.draining,
        "empty": not (messages or letters or broker.producing),
        "messages": messages,
        "dead_letters": letters,
    }


def unsettled(partition: Partition) -> int:
    """Messages over all groups that each has still to settle; where there is none, all stored."""
    if not partition.groups:
        return partition.end - partition.first_offset
    return sum(group.counts(partition.end)["lag"] for group in partition.groups)
