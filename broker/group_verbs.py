"""What an operator does to a group: seek, purge, kick, forget."""

import asyncio

from starlette.types import Receive, Scope, Send

from broker.broker import Broker
from broker.member import KICKED
from broker.partition import Partition
from broker.topic import Topic
from common import logs
from common.errors import GroupInUse, NotFound
from common.http.answers import send_json
from common.http.body import integer, parameters
from common.wire import MAX_PARTITIONS, check_name, read_start

log = logs.get("broker.group_verbs")

PURGED = "purged"


class Seek:
    """``POST /groups/{group}/seek``: deliver again from somewhere, or skip to somewhere."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        group = check_name(scope["path_params"]["group"], "group")
        topic = self._broker.topics.get(check_name(given.get("topic"), "topic"))
        start = read_start(given.get("to", ""), "to")
        topic.admit(group)
        partitions = chosen(topic, given)
        places = {str(part.number): await part.seek(group, start) for part in partitions}
        log.info("group moved", topic=topic.name, group=group, to=start)
        await send_json(send, {"topic": topic.name, "group": group, "offsets": places})


class Purge:
    """``POST /purge``: what one group, or every group, has not settled is let go."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        topic = self._broker.topics.get(check_name(given.get("topic"), "topic"))
        groups = topic.groups()
        if "group" in given:
            groups = [known(topic, check_name(given["group"], "group"))]
        partitions = chosen(topic, given)
        purged = sum(purge(part, group) for part in partitions for group in groups)
        await asyncio.gather(*(part.groups.save(surely=True) for part in partitions))
        log.warning("messages purged", topic=topic.name, groups=groups, count=purged)
        await send_json(send, {"purged": purged})


class Kick:
    """``POST /kick``: the streams of a group, or one of them, end with a last event."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        topic = self._broker.topics.get(check_name(given.get("topic"), "topic"))
        group = known(topic, check_name(given.get("group"), "group"))
        streams = [
            stream
            for stream in topic.streams(group)
            if given.get("member", stream.member.id) == stream.member.id
        ]
        for stream in streams:
            stream.dismiss(KICKED)
        log.info("streams closed", topic=topic.name, group=group, count=len(streams))
        await send_json(send, {"kicked": len(streams)})


class ForgetGroup:
    """``DELETE /groups/{group}``: its place is dropped; it would begin anew."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        group = check_name(scope["path_params"]["group"], "group")
        topic = self._broker.topics.get(check_name(parameters(scope).get("topic"), "topic"))
        known(topic, group)
        if topic.streams(group):
            raise GroupInUse(f"group {group} has consumers; close their streams first")
        await topic.forget(group)
        log.info("group forgotten", topic=topic.name, group=group)
        await send_json(send, {"topic": topic.name, "group": group})


def purge(partition: Partition, name: str) -> int:
    """Have a group be done with all there is now."""
    group = partition.groups.get(name)
    return partition.let_go(group, partition.end, PURGED) if group else 0


def known(topic: Topic, group: str) -> str:
    """A group that must have a place in a topic."""
    if group not in topic.groups():
        raise NotFound(f"topic {topic.name} has no group {group}")
    return group


def chosen(topic: Topic, given: dict[str, str]) -> list[Partition]:
    """The partition a request names, or all of them."""
    if "partition" not in given:
        return list(topic.partitions)
    return [topic.partition(integer(given, "partition", 0, 0, MAX_PARTITIONS))]
