"""``GET /trace/{id}``: asked of the broker that the id names."""

from urllib.parse import quote, urlencode

from starlette.types import Receive, Scope, Send

from common.errors import NotFound
from common.http.answers import send_json
from common.http.body import parameters
from common.wire import parse_message_id
from proxy.proxy import Proxy


class Trace:
    """A message lies where it was stored, wherever the ring points now."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parameters(scope)
        place = parse_message_id(scope["path_params"]["id"])
        member = self._proxy.members.by_instance(place.broker)
        if member is None:
            raise NotFound(f"there is no broker {place.broker}")
        target = f"/trace/{quote(str(place), safe=':')}?" + urlencode(given)
        await send_json(send, await self._proxy.ask(member, "GET", target))
