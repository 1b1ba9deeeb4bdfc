"""``PUT`` and ``DELETE /topics/{topic}``, ``POST /pause`` and ``/resume``."""

from typing import Any

from starlette.types import Receive, Scope, Send

from broker.broker import Broker
from broker.drain import drain_state
from broker.inspect import describe_topic
from broker.member import KICKED
from broker.settings import TopicRequest
from broker.topic import Topic
from common import logs
from common.errors import InvalidRequest
from common.http.answers import send_json
from common.http.body import decode_json, parameters, read_body
from common.wire import check_name

log = logs.get("broker.topic_verbs")

MAX_TOPIC_BODY = 4096


class PutTopic:
    """``PUT /topics/{topic}``: make it, change it, or confirm that it is as asked."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = check_name(scope["path_params"]["topic"], "topic")
        body = await read_body(scope, receive, MAX_TOPIC_BODY)
        topic = await self._broker.topics.put(name, decode_json(body or b"{}", TopicRequest))
        await send_json(send, describe_topic(self._broker, topic))


class DeleteTopic:
    """``DELETE /topics/{topic}``: it and everything it holds is gone; ``kick=true`` its streams."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = check_name(scope["path_params"]["topic"], "topic")
        kick = parameters(scope).get("kick", "false")
        if kick not in ("true", "false"):
            raise InvalidRequest("kick must be true or false")
        topic = self._broker.topics.get(name)
        if kick == "true":
            for stream in topic.streams():
                stream.dismiss(KICKED)
        messages = sum(part.end - part.first_offset for part in topic.partitions)
        await self._broker.topics.delete(name)
        await send_json(send, {"topic": name, "deleted_messages": messages})


class Pause:
    """``POST /pause``: no deliveries to one group of a topic, or to all of them."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        topic, group = find(self._broker, parameters(scope))
        await topic.pause(group)
        log.info("deliveries paused", topic=topic.name, group=group)
        await send_json(send, describe_pauses(topic))


class Resume:
    """``POST /resume``: deliveries go on; without a topic, the broker's drain ends."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        if "topic" not in given:
            if "group" in given:
                raise InvalidRequest("a group is resumed with its topic")
            await self._broker.set_draining(False)
            await send_json(send, drain_state(self._broker))
            return
        topic, group = find(self._broker, given)
        await topic.resume(group)
        log.info("deliveries resumed", topic=topic.name, group=group)
        await send_json(send, describe_pauses(topic))


def find(broker: Broker, given: dict[str, str]) -> tuple[Topic, str | None]:
    """The topic of a request, and the group if it names one."""
    topic = broker.topics.get(check_name(given.get("topic"), "topic"))
    return topic, check_name(given["group"], "group") if "group" in given else None


def describe_pauses(topic: Topic) -> dict[str, Any]:
    """What of a topic is paused."""
    groups = list(topic.state.paused_groups)
    return {"topic": topic.name, "paused": topic.state.paused, "paused_groups": groups}
