"""One connection to NATS servers, opened when it is needed and kept over their restarts."""

import asyncio
from collections.abc import Callable
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

from common import logs
from common.errors import BrokerUnreachable, Forbidden, TelemetryError, Unauthorized
from common.http.tls import client_context
from common.queue.jetstream.settings import NatsAddress, as_telemetry_error, is_refusal

log = logs.get("queue")

CONNECT_SECONDS = 5
API_SECONDS = 5.0
RECONNECT_SECONDS = 0.5
CLOSE_SECONDS = 3.0
PENDING_BYTES = 8 << 20
ASKED_WHY = 5
CLOSED = (ConnectionResetError, BrokenPipeError, nats.errors.UnexpectedEOF)


class _Guarded(Client):  # type: ignore[misc]  # the client has no types where it is not installed
    """A client that shows its password to nobody who does not encrypt, when that was asked for."""

    tls_wanted = False

    def _connect_command(self) -> bytes:
        if self.tls_wanted and not self._server_info.get("tls_required"):
            raise nats.errors.SecureConnWantedError
        command: bytes = super()._connect_command()
        return command


class NatsLink:
    """Who waits for an answer over it is told when the connection is lost, or something refused."""

    def __init__(self, address: NatsAddress, name: str) -> None:
        self._address = address
        self._name = name
        self._client: _Guarded | None = None
        self._last: Exception | None = None
        self._refusal: Exception | None = None
        self._opening = asyncio.Lock()
        self._told: list[Callable[[TelemetryError], None]] = []

    def tell(self, listener: Callable[[TelemetryError], None]) -> None:
        """Have ``listener`` called with why an answer may not come."""
        self._told.append(listener)

    async def open(self) -> Client:
        """The connected client; raises BrokerUnreachable, or Unauthorized."""
        async with self._opening:
            if self._client is None or self._client.is_closed:
                self._client = await self._connect()
        if not self._client.is_connected:
            raise BrokerUnreachable(f"NATS: the connection is lost: {self._last}")
        return self._client

    async def jetstream(self) -> JetStreamContext:
        """Its JetStream; raises as `open` does."""
        return (await self.open()).jetstream(timeout=API_SECONDS)

    async def close(self) -> None:
        """Send what waits to be sent, and know that the server has read it; then let go."""
        client, self._client = self._client, None
        if client is None or client.is_closed:
            return
        try:
            if client.is_connected:
                await client.flush(timeout=CLOSE_SECONDS)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            log.warning("connection closed before all was sent", reason=str(error))
        await client.close()

    async def _connect(self) -> _Guarded:
        """Try each server; one that closes on us is asked again for why.

        A server that refuses says so and closes at once, and the words may be lost on the way.
        """
        self._last = self._refusal = None
        for _ in range(ASKED_WHY):
            try:
                return await self._try()
            except (nats.errors.Error, OSError, TimeoutError) as error:
                found = self._refusal or self._last or error
                if self._refusal is not None or not isinstance(found, CLOSED):
                    raise as_telemetry_error(found) from error
        raise as_telemetry_error(found)

    async def _try(self) -> _Guarded:
        address = self._address
        client = _Guarded()
        client.tls_wanted = address.tls
        given: dict[str, Any] = dict(address.who)
        if address.tls:
            given["tls"] = client_context(address.tls_ca_file)
        # the client itself may wait for ever to close a connection whose certificate it refused
        async with asyncio.timeout(CONNECT_SECONDS * len(address.servers)):
            await client.connect(
                address.servers,
                name=self._name,
                error_cb=self._hear,
                disconnected_cb=self._lose,
                reconnected_cb=self._find,
                connect_timeout=CONNECT_SECONDS,
                max_reconnect_attempts=1,  # a server each once, then its caller hears of it
                reconnect_time_wait=0,
                pending_size=PENDING_BYTES,
                **given,
            )
        client.options["max_reconnect_attempts"] = -1
        client.options["reconnect_time_wait"] = RECONNECT_SECONDS
        return client

    async def _hear(self, error: Exception) -> None:
        self._last = error
        if is_refusal(error):
            self._refusal = error
        found = as_telemetry_error(error)
        if isinstance(found, Forbidden | Unauthorized):
            self._tell_all(found)

    async def _lose(self) -> None:
        if self._client is None:  # it is we who let go
            return
        log.warning("queue lost, trying again until it is back", reason=str(self._last))
        self._tell_all(BrokerUnreachable("NATS: the connection was lost before the answer"))

    async def _find(self) -> None:
        log.info("queue is back")
        self._tell_all(BrokerUnreachable("NATS: the connection was lost before the answer"))

    def _tell_all(self, error: TelemetryError) -> None:
        for listener in self._told:
            listener(error)
