"""What one can look at and set up: topics, groups, messages."""

import asyncio
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from broker.broker import Broker
from broker.events import record_envelopes
from broker.partition import Partition
from broker.topics import Topic
from common import logs
from common.errors import GroupInUse, NotFound
from common.http.answers import send_json
from common.http.body import decode_json, integer, parameters, read_body
from common.wire import MAX_PARTITIONS, check_name, read_start

log = logs.get("broker.inspect")

MAX_TOPIC_BODY = 4096
DEFAULT_PEEK = 10
MAX_PEEK = 1000


class TopicSettings(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``PUT /topics/{topic}``."""

    partitions: int | None = None


class ListTopics:
    """``GET /topics``."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        topics = [describe_topic(self._broker, topic) for topic in self._broker.topics.all()]
        await send_json(send, {"topics": topics})


class PutTopic:
    """``PUT /topics/{topic}``: make it, or confirm that it is as asked."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = check_name(scope["path_params"]["topic"], "topic")
        body = await read_body(scope, receive, MAX_TOPIC_BODY)
        count = decode_json(body or b"{}", TopicSettings).partitions
        if count is not None:
            integer({"partitions": str(count)}, "partitions", 0, 1, MAX_PARTITIONS)
        await send_json(
            send, describe_topic(self._broker, await self._broker.topics.ensure(name, count))
        )


class ListGroups:
    """``GET /groups?topic=``: where every group stands."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        topics = self._broker.topics.all()
        if "topic" in given:
            topics = [self._broker.topics.get(check_name(given["topic"], "topic"))]
        broker = self._broker.options.broker_name
        rows = [
            {"broker": broker, "topic": topic.name, "partition": part.number, "group": group.name}
            | group.counts(part.end)
            for topic in topics
            for part in topic.partitions
            for group in part.groups
        ]
        await send_json(send, {"groups": rows})


class Seek:
    """``POST /groups/{group}/seek``: deliver again from somewhere, or skip to somewhere."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        group = check_name(scope["path_params"]["group"], "group")
        topic = self._broker.topics.get(check_name(given.get("topic"), "topic"))
        start = read_start(given.get("to", ""), "to")
        partitions = topic.partitions
        if "partition" in given:
            partitions = [topic.partition(integer(given, "partition", 0, 0, MAX_PARTITIONS))]
        places = {str(part.number): await part.seek(group, start) for part in partitions}
        log.info("group moved", topic=topic.name, group=group, to=start)
        await send_json(send, {"topic": topic.name, "group": group, "offsets": places})


class ForgetGroup:
    """``DELETE /groups/{group}``: its place is dropped; it would begin anew."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        group = check_name(scope["path_params"]["group"], "group")
        topic = self._broker.topics.get(check_name(parameters(scope).get("topic"), "topic"))
        if group not in topic.groups():
            raise NotFound(f"topic {topic.name} has no group {group}")
        if any(part.in_use(group) for part in topic.partitions):
            raise GroupInUse(f"group {group} has consumers; close their streams first")
        for part in topic.partitions:
            part.groups.forget(group)
        await asyncio.gather(*(part.groups.save(surely=True) for part in topic.partitions))
        log.info("group forgotten", topic=topic.name, group=group)
        await send_json(send, {"topic": topic.name, "group": group})


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
    """A topic with its partitions' offsets, depth and bytes."""
    return {
        "topic": topic.name,
        "partition_count": len(topic.partitions),
        "partitions": [
            {
                "broker": broker.options.broker_name,
                "partition": part.number,
                "first_offset": part.first_offset,
                "next_offset": part.end,
                "depth": part.depth,
                "bytes": part.disk_bytes,
                "read_only": part.problem,
            }
            for part in topic.partitions
        ],
    }
