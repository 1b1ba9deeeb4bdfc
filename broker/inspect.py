"""What one can look at: topics, groups, messages."""

from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from broker.broker import Broker
from broker.events import record_envelopes
from broker.group import Group
from broker.partition import Partition
from broker.topic import Topic
from common.clock import to_rfc3339
from common.http.answers import send_json
from common.http.body import integer, parameters
from common.wire import MAX_PARTITIONS, check_name

DEFAULT_PEEK = 10
MAX_PEEK = 1000


class ListTopics:
    """``GET /topics``."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        topics = [describe_topic(self._broker, topic) for topic in self._broker.topics.all()]
        await send_json(send, {"topics": topics})


class ListGroups:
    """``GET /groups?topic=``: where every group stands."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        topics = self._broker.topics.all()
        if "topic" in given:
            topics = [self._broker.topics.get(check_name(given["topic"], "topic"))]
        broker, now = self._broker.options.broker_name, self._broker.clock.wall()
        rows = [
            {"broker": broker, "topic": topic.name, "partition": part.number, "group": group.name}
            | describe_group(part, group, now)
            for topic in topics
            for part in topic.partitions
            for group in part.groups
        ]
        await send_json(send, {"groups": rows})


class ListMessages:
    """``GET /messages``: read without consuming."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        topic = self._broker.topics.get(check_name(given.get("topic"), "topic"))
        partition = topic.partition(integer(given, "partition", 0, 0, MAX_PARTITIONS))
        limit = integer(given, "limit", DEFAULT_PEEK, 1, MAX_PEEK)
        offset = integer(given, "offset", partition.first_offset, 0, 1 << 62)
        await send_json(send, {"messages": await self._peek(partition, offset, limit)})

    async def _peek(self, partition: Partition, offset: int, limit: int) -> list[msgspec.Raw]:
        options = self._broker.options
        found: list[msgspec.Raw] = []
        for record in await partition.read(offset, options.event_bytes):
            first = max(offset - record.offset, 0)
            last = min(record.count, first + limit - len(found))
            place = options.broker_name, partition.topic, partition.number
            envelopes = record_envelopes(*place, record, first, last)
            found += (msgspec.Raw(msgspec.json.encode(envelope)) for envelope in envelopes)
        return found


def describe_topic(broker: Broker, topic: Topic) -> dict[str, Any]:
    """A topic with what was set for it, and its partitions' offsets, depth and bytes."""
    return {
        "topic": topic.name,
        "partition_count": len(topic.partitions),
        "settings": topic.policy._asdict(),
        "paused": topic.state.paused,
        "paused_groups": list(topic.state.paused_groups),
        "partitions": [
            {
                "broker": broker.options.broker_name,
                "partition": part.number,
                "first_offset": part.first_offset,
                "next_offset": part.end,
                "depth": part.depth,
                "bytes": part.disk_bytes,
                "spilled": part.spilled,
                "subscribers": len(part.wakers),
                "read_only": part.problem,
            }
            for part in topic.partitions
        ],
    }


def describe_group(partition: Partition, group: Group, now: float) -> dict[str, Any]:
    """A group's books in a partition, and who consumes there."""
    members = [
        {
            "id": stream.member.id,
            "client": stream.member.client,
            "in_flight": stream.in_flight,
            "max_in_flight": stream.pace.messages,
            "connected_since": to_rfc3339(stream.member.connected_at),
        }
        for stream in partition.wakers
        if stream.group == group.name
    ]
    return group.counts(partition.end) | {
        "dropped_by_reason": group.dropped,
        "oldest_age_seconds": group.oldest_age(partition.end, now),
        "paused": group.paused,
        "subscribers": len(members),
        "members": members,
    }
