"""The connections a client keeps open between its requests."""

import ssl
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ConnectionKey

KEPT_SECONDS = 15.0


class ConnectionPool(aiohttp.TCPConnector):
    """Takes the connection that was used last, so that those of a burst are closed after it.

    aiohttp takes the one that was used longest ago: as long as there is one request in
    ``kept_seconds`` for each of them, all that were ever open at once stay open. ``tls`` is whom
    it believes over https, None for the CAs of the machine.
    """

    def __init__(self, tls: ssl.SSLContext | None, kept_seconds: float = KEPT_SECONDS) -> None:
        super().__init__(limit=0, ssl=tls or True, keepalive_timeout=kept_seconds)

    def _release(
        self, key: "ConnectionKey", protocol: "ResponseHandler", *, should_close: bool = False
    ) -> None:
        super()._release(key, protocol, should_close=should_close)
        kept = self._conns.get(key)
        if kept and kept[-1][0] is protocol:
            kept.rotate(1)  # the next request takes the first
