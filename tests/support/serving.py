"""A service inside the test's own event loop, on a free loopback port."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

from starlette.types import ASGIApp

from common.http.server import Server, make_server
from common.lifecycle import Lifecycle
from common.options import ServiceOptions
from tests.support.listening import stop_listening


class NotStartedError(Exception):
    """The service refused to start."""


class InlineServer(Server):
    """The services' server without signal handlers, and with no tick to wait for."""

    def __init__(self, made: Server, lifecycle: Lifecycle) -> None:
        super().__init__(made.config, lifecycle, made.certificate)
        self.up = asyncio.Event()
        self._left = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The signals are pytest's."""
        yield

    def leave(self) -> None:
        """See ``Server``."""
        super().leave()
        self._left.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell when requests are taken."""
        try:
            await super().startup(sockets)
        except SystemExit as refusal:
            raise NotStartedError(refusal.code) from refusal
        self.up.set()

    async def main_loop(self) -> None:
        """Serve until the service is to stop."""
        await self.on_tick(0)
        await self._left.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, with every connection in hand."""
        await stop_listening(self.servers)
        await super().shutdown(sockets)


@contextlib.asynccontextmanager
async def running(
    app: ASGIApp, options: ServiceOptions, lifecycle: Lifecycle
) -> AsyncIterator[str]:
    """Serve ``app`` and yield its base URL; leaving stops it as SIGTERM would."""
    server = InlineServer(make_server(app, options, lifecycle), lifecycle)
    scheme = "https" if server.certificate else "http"
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:  # or else without TCP_NODELAY
        listener.bind(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve([listener]))
        await _until_up(server, serving)
        try:
            yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            lifecycle.stop()
            await serving


async def _until_up(server: InlineServer, serving: asyncio.Task[None]) -> None:
    up = asyncio.create_task(server.up.wait())
    await asyncio.wait({up, serving}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        up.cancel()
        serving.result()
