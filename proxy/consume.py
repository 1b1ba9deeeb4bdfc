"""``GET /consume`` from every broker at once, as one event stream."""

from urllib.parse import urlencode

from starlette.types import Receive, Scope, Send

from common.errors import MethodNotAllowed, Unavailable
from common.http.body import integer, parameters
from common.wire import DEFAULT_IN_FLIGHT, check_name
from proxy.fanin import FanIn, Wanted
from proxy.proxy import Proxy
from proxy.upstream import passed_on

MAX_IN_FLIGHT = 1_000_000


class Consume:
    """ASGI endpoint."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._proxy.lifecycle.stopping.is_set():
            raise Unavailable("the proxy is stopping")
        if scope["method"] == "HEAD":
            raise MethodNotAllowed("a stream without a body would lease messages for nobody")
        given = parameters(scope)
        topic = check_name(given.get("topic"), "topic")
        total = integer(given, "max_in_flight", DEFAULT_IN_FLIGHT, 1, MAX_IN_FLIGHT)
        given.pop("max_in_flight", None)
        partitions = await self._proxy.topics.count(topic)
        target = "/consume?" + urlencode(given | {"partitions": str(partitions)})
        fan_in = FanIn(self._proxy, Wanted(topic, partitions, target, total, passed_on(scope)))
        await fan_in.open()
        await fan_in.run(scope, receive, send)
