"""Where the list of brokers comes from: an option, a file, or the names of a StatefulSet."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from common.errors import InvalidRequest
from common.option_values import parse_list
from common.options import refuse
from common.wire import check_name
from proxy.options import ProxyOptions

LOOK_AHEAD = 4  # ordinals asked for beyond the highest that was found
MAX_BROKERS = 1000
NOBODY = "no-such-broker"  # a name that resolves only where every name does

Resolve = Callable[[str], Awaitable[bool]]


class Address(NamedTuple):
    """A broker's identity, and where it listens."""

    name: str
    url: str


class UnknownError(Exception):
    """Nobody can say now which brokers there are: the last list stands."""


class Membership(Protocol):
    """A list of brokers that may be read again and again."""

    certain: list[Address]  # those that are there even if it cannot be read

    async def read(self) -> list[Address]:
        """The brokers there are now; raises UnknownError."""


class Listed:
    """The option BROKERS: nothing changes while the process lives."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        try:
            self.certain = read_brokers(texts)
        except ValueError as error:
            refuse([f"BROKERS: {error}"])

    async def read(self) -> list[Address]:
        """See ``Membership``."""
        return self.certain


class InFile:
    """The option BROKERS_FILE: one broker a line, or with commas; a line with # says nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self.certain = self._read()
        except UnknownError as error:
            refuse([f"BROKERS_FILE: {error}"])

    async def read(self) -> list[Address]:
        """See ``Membership``."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> list[Address]:
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
            return read_brokers(
                [text for line in lines for text in parse_list(line.partition("#")[0])]
            )
        except (OSError, ValueError) as error:
            raise UnknownError(str(error)) from error


class StatefulSet:
    """Replicas behind a headless service, by the names that Kubernetes gives them.

    The first ``BROKER_COUNT`` are there whatever DNS says; more are there when their names resolve.
    Ordinals have no gaps: all below the highest that resolves are members, be they away or not.
    """

    def __init__(self, options: ProxyOptions, resolve: Resolve) -> None:
        try:
            check_name(options.broker_service, "BROKER_SERVICE")
        except InvalidRequest as error:
            refuse([error.message])
        self._service = options.broker_service
        self._domain = (
            f"{self._service}.{options.namespace}.svc" if options.namespace else (self._service)
        )
        self._port = options.broker_port
        self._scheme = "https" if options.tls_ca_file else "http"
        self._least = options.broker_count
        self._known = self._least
        self._resolve = resolve
        self.certain = self._addresses(self._least)

    async def read(self) -> list[Address]:
        """See ``Membership``."""
        if await self._resolve(f"{NOBODY}.{self._domain}"):
            raise UnknownError(f"DNS knows every name of {self._domain}, so none says anything")
        asked = range(self._least, min(self._known + LOOK_AHEAD, MAX_BROKERS))
        found = await asyncio.gather(*(self._resolve(self._host(number)) for number in asked))
        count = max((n + 1 for n, there in zip(asked, found, strict=True) if there), default=0)
        self._known = max(count, self._least)
        if not self._known:
            raise UnknownError(f"no name of {self._domain} resolves")
        return self._addresses(self._known)

    def _addresses(self, count: int) -> list[Address]:
        return [
            Address(
                f"{self._service}-{number}", f"{self._scheme}://{self._host(number)}:{self._port}"
            )
            for number in range(count)
        ]

    def _host(self, number: int) -> str:
        return f"{self._service}-{number}.{self._domain}"


def membership(options: ProxyOptions, resolve: Resolve) -> Membership:
    """The one way that the options name; none and two are refused."""
    ways = [options.brokers, options.brokers_file, options.broker_service]
    if sum(bool(way) for way in ways) != 1:
        refuse(["give exactly one of BROKERS, BROKERS_FILE and BROKER_SERVICE"])
    if options.brokers:
        return Listed(options.brokers)
    if options.brokers_file:
        return InFile(options.brokers_file)
    return StatefulSet(options, resolve)


async def resolves(host: str) -> bool:
    """Whether DNS knows a name; raises UnknownError when it cannot say."""
    loop = asyncio.get_running_loop()
    try:
        await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            return False
        raise UnknownError(f"{host}: {error.strerror}") from error
    except OSError as error:
        raise UnknownError(f"{host}: {error}") from error
    return True


def read_brokers(texts: tuple[str, ...] | list[str]) -> list[Address]:
    """Read ``name=url`` or ``url`` each; none at all, and one given twice, are no list."""
    brokers = [read_broker(text) for text in texts]
    if not brokers:
        raise ValueError("no broker is named")
    for said in zip(*brokers, strict=True):
        for text in said:
            if said.count(text) > 1:
                raise ValueError(f"{text} is given twice")
    return brokers


def read_broker(text: str) -> Address:
    """Read ``name=url`` or ``url``; a broker without a name is called by host and port."""
    name, found, rest = text.partition("=http")
    url = ("http" + rest if found else text).rstrip("/")
    if not is_base_url(url):
        raise ValueError(f"{text!r} must be an http URL without a path, or name=URL")
    if not found:
        name = url.split("://", 1)[1].strip("[]").replace(":", "-")
    try:
        return Address(check_name(name, repr(name)), url)
    except InvalidRequest as error:
        raise ValueError(error.message) from error


def is_base_url(url: str) -> bool:
    """Whether a URL is scheme, host and perhaps a port, and nothing else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    whole = f"{parts.scheme}://{parts.netloc}" == url and parts.scheme in ("http", "https")
    return whole and port != 0 and bool(host) and not set(host + parts.netloc) & set(" @%\\")
