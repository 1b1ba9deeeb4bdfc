"""Connections to one Redis server: commands, scripts, and its errors in our words."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from redis import asyncio as redis
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from common import logs
from common.clock import Clock
from common.errors import (
    BrokerUnreachable,
    DiskFull,
    Forbidden,
    InvalidRequest,
    Overloaded,
    TelemetryError,
    Unauthorized,
    Unavailable,
)
from common.http.tls import client_context
from common.queue.redis.place import read_place

log = logs.get("queue.redis")

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
LOOK_SECONDS = 10.0
OLDEST = (7, 0)
APPENDFSYNC, NOT_ON_REWRITE = "appendfsync", "no-appendfsync-on-rewrite"
DURABILITY = {b"always": "fsync", b"no": "disk"}
"""By appendfsync. With `everysec` a write may wait in the server's memory while it syncs."""

Word = str | bytes | int
_AWAY = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)
_BY_WORD = {
    "LOADING": Unavailable,
    "READONLY": Unavailable,
    "MASTERDOWN": Unavailable,
    "TRYAGAIN": Unavailable,
    "CLUSTERDOWN": Unavailable,
    "NOREPLICAS": Unavailable,
    "BUSY": Unavailable,
    "OOM": Overloaded,
    "MISCONF": DiskFull,
    "NOPERM": Forbidden,
}


class GroupMissingError(Exception):
    """A stream or its group is not there, or not any more."""


class RedisLink:
    """One server as one client uses it; every failure is a TelemetryError.

    ``durability`` is what a write reaches before it is answered, as the server says it is set.
    """

    def __init__(self, url: str, tls_ca_file: Path | None, clock: Clock) -> None:
        self.place = place = read_place(url)
        self.durability = "memory"
        self._clock = clock
        self._shown = f"{place.host}:{place.port}"
        self._looked: float | None = None
        self._looking = asyncio.Lock()
        self._digests: dict[str, str] = {}
        encrypted = {"ssl": True, "ssl_ca_certs": tls_ca_file and str(tls_ca_file)}
        if place.tls:
            client_context(tls_ca_file)  # leaves the process when the file is no good
        self._client = redis.Redis(
            host=place.host,
            port=place.port,
            db=place.database,
            username=place.username,
            password=place.password,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=None,  # with one, the client loses cancellations on Python 3.11
            retry=Retry(NoBackoff(), 0),
            client_name="telemetry-stack",
            protocol=2,
            **(encrypted if place.tls else {}),
        )
        self._client.response_callbacks.clear()  # answers as they come: bytes, numbers, lists

    async def ask(self, *words: Word) -> Any:
        """The answer to one command."""
        async with self._in_our_words():
            return await self._client.execute_command(*words)

    async def run(self, script: str, keys: Sequence[str], *given: Word) -> Any:
        """What a script answers; the server is told its text when it does not know it."""
        digest = self._digests.get(script)
        if digest is None:
            digest = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
            self._digests[script] = digest
        async with self._in_our_words():
            try:
                return await self._client.execute_command(
                    "EVALSHA", digest, len(keys), *keys, *given
                )
            except exceptions.NoScriptError:
                await self._client.execute_command("SCRIPT", "LOAD", script)
                return await self._client.execute_command(
                    "EVALSHA", digest, len(keys), *keys, *given
                )

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """Commands that are done together, or not at all when what they watch has changed."""
        async with self._in_our_words(), self._client.pipeline(transaction=True) as todo:
            yield todo

    async def ready(self) -> None:
        """Look, now and then, whether the server may be trusted with messages, and how far."""
        if self._looked is not None and self._clock.monotonic() - self._looked < LOOK_SECONDS:
            return
        async with self._looking:
            await self._look()
            self._looked = self._clock.monotonic()

    async def close(self) -> None:
        """Let go of every connection."""
        with contextlib.suppress(*_AWAY):
            await self._client.aclose()

    async def _look(self) -> None:
        about: dict[str, str] = {}
        for section in ("server", "memory", "persistence"):
            lines = (await self.ask("INFO", section)).decode().splitlines()
            about |= {name: value for name, _, value in (line.partition(":") for line in lines)}
        version = about.get("redis_version", "0.0")
        if tuple(map(int, version.split(".")[:2])) < OLDEST:
            raise InvalidRequest(f"redis at {self._shown} is {version}; 7.0 or later is needed")
        self._check_policy(about.get("maxmemory_policy", "noeviction"))
        durability = await self._promised() if about.get("aof_enabled") == "1" else "memory"
        if self._looked is None or durability != self.durability:
            log.info("redis answers", server=self._shown, version=version, durability=durability)
        self.durability = durability

    def _check_policy(self, policy: str) -> None:
        """Refuse a server that throws messages away when it is full."""
        if policy.startswith("allkeys"):
            raise InvalidRequest(
                f"redis at {self._shown} has maxmemory-policy {policy}, which throws messages "
                "away: set noeviction"
            )
        if policy != "noeviction" and self._looked is None:
            log.warning("redis may forget idempotency keys when it is full", policy=policy)

    async def _promised(self) -> str:
        """What the append-only file keeps of what was answered; `memory` when we may not know."""
        try:
            answer = await self.ask("CONFIG", "GET", APPENDFSYNC, NOT_ON_REWRITE)
        except (Forbidden, InvalidRequest):
            return "memory"
        found = dict(zip(answer[::2], answer[1::2], strict=True))
        promised = DURABILITY.get(found.get(APPENDFSYNC.encode(), b""), "memory")
        if promised == "fsync" and found.get(NOT_ON_REWRITE.encode()) == b"yes":
            return "disk"
        return promised

    @contextlib.asynccontextmanager
    async def _in_our_words(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                yield
        except exceptions.AuthenticationError:
            self._looked = None
            raise Unauthorized(f"redis at {self._shown} refuses our credentials") from None
        except exceptions.WatchError:
            raise Unavailable("the same send is under way") from None
        except exceptions.BusyLoadingError:
            raise Unavailable(f"redis at {self._shown} is loading its data") from None
        except _AWAY as error:
            self._looked = None
            raise BrokerUnreachable(f"no answer from redis at {self._shown}: {error}") from error
        except exceptions.ResponseError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: exceptions.ResponseError) -> Exception:
        text = str(error)
        word = error.status_code or text.split(" ")[0]
        if word in ("NOGROUP", "UNBLOCKED") or "no such key" in text:
            return GroupMissingError(text)
        kind: type[TelemetryError] = _BY_WORD.get(word, InvalidRequest)
        return kind(f"redis at {self._shown} refuses: {text}")
