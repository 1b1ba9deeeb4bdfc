"""How many partitions each topic has, as the brokers know it."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from common import logs

if TYPE_CHECKING:
    from proxy.proxy import Proxy


log = logs.get("proxy.topics")


class Topics:
    """Remembers the counts; the brokers are asked once a topic, and when one disagrees."""

    def __init__(self, proxy: "Proxy") -> None:
        self._proxy = proxy
        self._counts: dict[str, int] = {}

    def known(self) -> Mapping[str, int]:
        """The topics that were asked for since this proxy started."""
        return self._counts

    def forget(self, topic: str) -> None:
        """A broker counts otherwise: ask them all again."""
        self._counts.pop(topic, None)

    async def count(self, topic: str) -> int:
        """The partition count of a topic, which is made when it is not there."""
        return self._counts.get(topic) or await self._ask(topic)

    async def agree(self, topic: str) -> int:
        """A broker counts otherwise: take the largest count, and tell it to those that lack it.

        A broker that was away while a topic grew hears of it so.
        """
        self.forget(topic)
        count = await self.count(topic)
        body = msgspec.json.encode({"partitions": count})
        answers = await asyncio.gather(
            *(
                self._proxy.ask(member, "PUT", f"/topics/{topic}", body)
                for member in self._proxy.members.well()
            ),
            return_exceptions=True,
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                log.warning("topic's partition count not agreed", topic=topic, reason=str(answer))
        return count

    async def all(self) -> dict[str, int]:
        """The counts that the brokers know, of every topic."""
        return count_partitions(await self.rows())

    async def rows(self) -> list[Any]:
        """``GET /topics`` of every broker that answers now."""
        asked = (self._proxy.ask(member, "GET", "/topics") for member in self._proxy.members.well())
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return [row for answer in answers if isinstance(answer, dict) for row in answer["topics"]]

    async def _ask(self, topic: str) -> int:
        """A broker that was away when the topic was made learns it with its first request."""
        count = (await self.all()).get(topic)
        if not count:
            reply = await self._proxy.ask_any("PUT", f"/topics/{topic}", b"{}")
            count = int(self._proxy.read(reply)["partition_count"])
        self._counts[topic] = count
        return count


def count_partitions(rows: list[Any]) -> dict[str, int]:
    """Each topic's partition count; the largest that a broker knows stands."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["topic"]] = max(row["partition_count"], counts.get(row["topic"], 0))
    return counts
