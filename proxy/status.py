"""``GET /status``: the cluster as this proxy routes it."""

from typing import Any

from starlette.types import Receive, Scope, Send

from common.errors import NotFound
from common.http.answers import send_json
from common.http.body import parameters
from common.wire import check_name
from proxy.member import Member
from proxy.proxy import Proxy
from proxy.topics import count_partitions


class Status:
    """Members with their health, and the owner of every partition, by the ring that routes.

    ``topic=`` asks for the owners of one topic alone. Without it every topic is there, and
    ``strays``: messages some group still needs, on a broker that does not own their partition.
    """

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        members = self._proxy.members
        body: dict[str, Any] = {
            "virtual_nodes": self._proxy.options.virtual_nodes,
            "membership_problem": self._proxy.membership_problem,
            "brokers": [describe(member) for member in members],
        }
        if "topic" in given:
            topic = check_name(given["topic"], "topic")
            body["owners"] = {topic: self._owners(topic, await self._count(topic))}
        else:
            rows = await self._proxy.topics.rows()
            counts = count_partitions(rows) | dict(self._proxy.topics.known())
            body["owners"] = {name: self._owners(name, counts[name]) for name in sorted(counts)}
            body["strays"] = strays(rows, body["owners"], {m.instance: m.name for m in members})
        await send_json(send, body)

    def _owners(self, topic: str, count: int) -> tuple[str, ...]:
        return self._proxy.members.ring.owners(topic, count)

    async def _count(self, topic: str) -> int:
        counts = {**await self._proxy.topics.all(), **self._proxy.topics.known()}
        if topic not in counts:
            raise NotFound(f"there is no topic {topic}")
        return counts[topic]


def describe(member: Member) -> dict[str, Any]:
    """One broker as this proxy sees it."""
    return {
        "broker": member.name,
        "instance": member.instance,
        "url": member.url,
        "ready": member.ready,
        "reason": member.reason,
        "breaker": member.breaker.state,
        "listed": member.left_at is None,
        "draining": member.draining,
        "empty": member.empty,
    }


def strays(
    rows: list[Any], owners: dict[str, tuple[str, ...]], names: dict[str, str]
) -> list[dict[str, Any]]:
    """The partitions with messages where they would not be produced now."""
    return [
        {
            "topic": row["topic"],
            "partition": part["partition"],
            "broker": names.get(part["broker"], part["broker"]),
            "messages": part["depth"],
        }
        for row in rows
        for part in row["partitions"]
        if part["depth"]
        and names.get(part["broker"]) not in owners[row["topic"]][part["partition"] :][:1]
    ]
