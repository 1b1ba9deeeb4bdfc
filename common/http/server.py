"""Running a service: uvicorn, with a stop that event streams hear about."""

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TypeVar

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common import garbage, logs
from common.http.protocol import BoundedProtocol, Limits
from common.http.tls import Certificate, is_loopback, server_certificate
from common.lifecycle import Lifecycle
from common.options import ServiceOptions

log = logs.get("server")

KEEP_ALIVE_SECONDS = 75
BACKLOG = 2048
LONGEST_STOP_GRACES = 2  # one for connections, one for files
EXIT_STOP_HUNG = 1

Table = TypeVar("Table", bound=ServiceOptions)


class Server(uvicorn.Server):
    """Ends streams before it waits for them: a signal sets ``lifecycle.stopping`` at once."""

    def __init__(
        self, config: uvicorn.Config, lifecycle: Lifecycle, certificate: Certificate | None = None
    ) -> None:
        super().__init__(config)
        self.certificate = certificate
        self._lifecycle = lifecycle
        lifecycle.on_stop(self.leave)
        lifecycle.cut = self.cut

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and to follow the certificate."""
        await super().startup(sockets)
        if self.certificate is not None:
            self._lifecycle.spawn("certificate", self.certificate.follow())

    def leave(self) -> None:
        """Let the server's main loop end."""
        self.should_exit = True

    def cut(self, client: object) -> None:
        """Drop a client's connection with whatever it has not read."""
        for connection in list(self.server_state.connections):
            if getattr(connection, "client", None) == client:
                connection.transport.abort()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Run by the signal: the loop takes note as soon as it can."""
        asyncio.get_event_loop().call_soon_threadsafe(self._lifecycle.stop)
        super().handle_exit(sig, frame)


def make_server(app: ASGIApp, options: ServiceOptions, lifecycle: Lifecycle) -> Server:
    """Set uvicorn up as every service runs it."""
    certificate = server_certificate(options)
    config = uvicorn.Config(
        without_refusal(app, lifecycle),
        host=options.host,
        port=options.port,
        lifespan="on",
        http=partial(BoundedProtocol, limits_of(options)),  # type: ignore[arg-type]
        ws="none",
        ssl_context_factory=(lambda *_: certificate.context) if certificate else None,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, int(options.shutdown_grace_seconds)),
    )
    return Server(config, lifecycle, certificate)


def limits_of(options: ServiceOptions) -> Limits:
    """What the options let a connection take."""
    return Limits(
        options.max_header_bytes,
        options.read_timeout_seconds,
        options.write_timeout_seconds,
        options.max_connections,
    )


def serve(options: Table, create_app: Callable[[Table, Lifecycle], ASGIApp]) -> None:
    """Run a service until a signal or its own end; leaves with its exit code."""
    logs.configure(options.log_level)
    lifecycle = Lifecycle()
    longest_seconds = LONGEST_STOP_GRACES * options.shutdown_grace_seconds
    lifecycle.on_stop(lambda: leave_after(longest_seconds))
    if options.tls_cert_file is None and not is_loopback(options.host):
        log.warning("plain HTTP on an address that others reach", host=options.host)
    server = make_server(create_app(options, lifecycle), options, lifecycle)
    garbage.calm()
    try:
        server.run()
    except KeyboardInterrupt:
        pass  # the server has stopped; this is the signal that it hands on
    except SystemExit as failure:
        sys.exit(lifecycle.exit_code or failure.code)
    sys.exit(lifecycle.exit_code)


def leave_after(seconds: float) -> None:
    """End this process then, if it is still there: a thread may hang in a disk that hangs.

    Nothing is given up that was answered: to whoever relies on it, this is a kill -9.
    """
    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()


def leave() -> None:
    """Exit without waiting for anything."""
    log.error("the stop takes too long; leaving what hangs")
    os._exit(EXIT_STOP_HUNG)


def without_refusal(app: ASGIApp, lifecycle: Lifecycle) -> ASGIApp:
    """Keep the traceback of a refused start to ourselves: the refusal said what is wrong."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without_reason(message: Message) -> None:
            refused = message["type"] == "lifespan.startup.failed" and lifecycle.exit_code
            await send({"type": message["type"]} if refused else message)

        await app(scope, receive, send_without_reason if scope["type"] == "lifespan" else send)

    return run
