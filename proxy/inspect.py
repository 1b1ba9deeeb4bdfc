"""Looking at the cluster through the proxy: topics, groups, messages, placement."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from starlette.types import Receive, Scope, Send

from common.errors import BrokerUnreachable, InvalidRequest, NotFound, TelemetryError
from common.http.answers import send_json
from common.http.body import integer, parameters, read_body
from common.wire import JSON_SPACE, MAX_PARTITIONS, check_name
from proxy.member import Member
from proxy.proxy import NO_BROKER, Proxy

MAX_TOPIC_BODY = 4096


class Gather:
    """``GET /topics``, ``/groups`` and ``/dlq``: every broker's rows in one list.

    ``missing`` names the brokers that did not answer: the list lacks what they hold.
    """

    def __init__(self, proxy: Proxy, rows: str, path: str) -> None:
        self._proxy = proxy
        self._rows = rows
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        members = one_or_all(self._proxy, given)
        target = f"{self._path}?" + urlencode(given)
        answers = await asyncio.gather(*(self._ask(member, target) for member in members))
        rows = [row for answer in answers if answer for row in answer[self._rows]]
        missing = [
            member.name for member, answer in zip(members, answers, strict=True) if answer is None
        ]
        if self._rows == "topics":
            rows = merge_topics(rows)
        await send_json(send, {self._rows: rows, "missing": missing})

    async def _ask(self, member: Member, target: str) -> Any:
        try:
            return await self._proxy.ask(member, "GET", target)
        except TelemetryError as error:
            if error.code == "NOT_FOUND":
                return {self._rows: []}
            if error.retry_after_seconds is None:
                raise
            return None


class Everywhere:
    """A verb on every broker, or on ``broker=`` alone; the answers by broker.

    A broker that does not know the topic or group has nothing to do. When one cannot be asked the
    error says so; repeating the request is safe.
    """

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        members = one_or_all(self._proxy, given)
        body = await read_body(scope, receive, MAX_TOPIC_BODY)
        target = f"{quote(scope['path'])}?" + urlencode(given)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        answers = await answers_of(self._ask(member, method, target, body) for member in members)
        found = {
            member.name: answer
            for member, answer in zip(members, answers, strict=True)
            if answer is not None
        }
        if not found:
            raise NotFound("no broker knows this topic and group")
        await send_json(send, {"brokers": found})

    async def _ask(self, member: Member, method: str, target: str, body: bytes) -> Any:
        try:
            return await self._proxy.ask(member, method, target, body)
        except NotFound:
            return None


class DeleteTopic(Everywhere):
    """``DELETE /topics/{topic}`` on every broker."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._proxy.topics.forget(scope["path_params"]["topic"])


class DrainOne(Everywhere):
    """``POST /drain`` on the broker that ``broker=`` names: all at once would take no produce."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        if "broker" not in given:
            raise InvalidRequest("say which broker with broker=")
        await super().__call__(scope, receive, send)
        self._proxy.members.set_draining(self._proxy.members.get(given["broker"]), True)


class PutTopic:
    """``PUT /topics/{topic}`` on every broker that is to stay.

    Settings reach all of them, or the answer is an error that says which not. A request without
    settings only asks: it is answered by those that are there, the others learn of the topic with
    its first message.
    """

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = check_name(scope["path_params"]["topic"], "topic")
        body = await read_body(scope, receive, MAX_TOPIC_BODY)
        if body.strip(JSON_SPACE) in (b"", b"{}"):
            partitions = await self._proxy.topics.count(name)
            members = [member for member in self._proxy.members.listed() if member.ready]
            body = msgspec.json.encode({"partitions": partitions})
        else:
            members = self._proxy.members.listed()
        target = f"/topics/{quote(name)}"
        try:
            answers = await answers_of(
                self._proxy.ask(member, "PUT", target, body) for member in members
            )
        finally:
            self._proxy.topics.forget(name)
        if not answers:
            raise BrokerUnreachable(NO_BROKER)
        await send_json(send, merge_topics(answers)[0])


class ListMessages:
    """``GET /messages`` from the partition's owner, or from ``broker=``."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        topic = check_name(given.get("topic"), "topic")
        partition = integer(given, "partition", 0, 0, MAX_PARTITIONS)
        if "broker" in given:
            member = one_or_all(self._proxy, given)[0]
        else:
            partitions = max(await self._proxy.topics.count(topic), partition + 1)
            order = self._proxy.members.in_order(topic, partition, partitions)
            member = order[0] if order else self._proxy.members.some()
        target = "/messages?" + urlencode(given)
        await send_json(send, await self._proxy.ask(member, "GET", target))


async def answers_of(asked: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Every answer, in order; an error is raised once no request is under way any more."""
    answers = await asyncio.gather(*asked, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


def merge_topics(rows: list[Any]) -> list[Any]:
    """One row a topic, with every broker's partitions in it."""
    merged: dict[str, Any] = {}
    for row in rows:
        known = merged.setdefault(row["topic"], row | {"partitions": []})
        known["partitions"] += row["partitions"]
    return [merged[name] for name in sorted(merged)]


def one_or_all(proxy: Proxy, given: dict[str, str]) -> list[Member]:
    """The broker that ``broker=`` names, which is taken out of the parameters, or all of them."""
    name = given.pop("broker", None)
    return list(proxy.members) if name is None else [proxy.members.get(name)]
