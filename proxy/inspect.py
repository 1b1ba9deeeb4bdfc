"""Looking at the cluster through the proxy: topics, groups, messages, placement."""

import asyncio
from typing import Any
from urllib.parse import quote, urlencode

from starlette.types import Receive, Scope, Send

from common.errors import TelemetryError
from common.http.answers import send_json
from common.http.body import integer, parameters, read_body
from common.wire import check_name
from proxy.members import Member
from proxy.proxy import Proxy

MAX_TOPIC_BODY = 4096
MAX_PARTITIONS = 256


class Gather:
    """``GET /topics`` and ``GET /groups``: every broker's rows in one list.

    ``missing`` names the brokers that did not answer: the list lacks what they hold.
    """

    def __init__(self, proxy: Proxy, rows: str) -> None:
        self._proxy = proxy
        self._rows = rows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        target = f"/{self._rows}?" + urlencode(parameters(scope))
        rows: list[Any] = []
        missing: list[str] = []
        answers = await asyncio.gather(*(self._ask(member, target) for member in self._members()))
        for member, answer in zip(self._members(), answers, strict=True):
            if answer is None:
                missing.append(member.name)
            else:
                rows += answer[self._rows]
        if self._rows == "topics":
            rows = merge_topics(rows)
        await send_json(send, {self._rows: rows, "missing": missing})

    def _members(self) -> list[Member]:
        return list(self._proxy.members)

    async def _ask(self, member: Member, target: str) -> Any:
        try:
            return await self._proxy.ask(member, "GET", target)
        except TelemetryError as error:
            if error.code == "NOT_FOUND":
                return {self._rows: []}
            if error.retry_after_seconds is None:
                raise
            return None


class PutTopic:
    """``PUT /topics/{topic}`` on every broker: all of them, or an error that says which not."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = check_name(scope["path_params"]["topic"], "topic")
        body = await read_body(scope, receive, MAX_TOPIC_BODY)
        target = f"/topics/{quote(name)}"
        answers = await asyncio.gather(
            *(self._proxy.ask(member, "PUT", target, body) for member in self._proxy.members)
        )
        await send_json(send, merge_topics(answers)[0])


class ListMessages:
    """``GET /messages`` from the partition's owner, or from ``broker=``."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        topic = check_name(given.get("topic"), "topic")
        partition = integer(given, "partition", 0, 0, MAX_PARTITIONS)
        broker = given.pop("broker", None)
        if broker is not None:
            member = self._proxy.members.get(broker)
        else:
            partitions = max(await self._proxy.partitions(topic), partition + 1)
            member = self._proxy.members.in_order(topic, partition, partitions)[0]
        target = "/messages?" + urlencode(given)
        await send_json(send, await self._proxy.ask(member, "GET", target))


class Status:
    """``GET /status``: members, their health, and the owner of every partition known here."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ring = self._proxy.members.ring
        topics: dict[str, int] = dict(self._proxy.stats()["topics"])
        await send_json(
            send,
            {
                "virtual_nodes": self._proxy.options.virtual_nodes,
                "brokers": [
                    {
                        "broker": member.name,
                        "instance": member.instance,
                        "url": member.url,
                        "ready": member.ready,
                        "reason": member.reason,
                        "breaker": member.breaker.state,
                    }
                    for member in self._proxy.members
                ],
                "owners": {name: ring.owners(name, count) for name, count in topics.items()},
            },
        )


def merge_topics(rows: list[Any]) -> list[Any]:
    """One row a topic, with every broker's partitions in it."""
    merged: dict[str, Any] = {}
    for row in rows:
        known = merged.setdefault(row["topic"], row | {"partitions": []})
        known["partitions"] += row["partitions"]
    return [merged[name] for name in sorted(merged)]
