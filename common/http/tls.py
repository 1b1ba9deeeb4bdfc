"""TLS: a server's certificate, renewed while it serves, and whom a client believes."""

import asyncio
import ipaddress
import ssl
from pathlib import Path

from common import logs
from common.options import ServiceOptions, refuse

log = logs.get("tls")

LOOK_SECONDS = 1.0
LOWEST = ssl.TLSVersion.TLSv1_2

Stamp = tuple[int, int, int]


class Certificate:
    """A certificate chain and its key in files, and the context that handshakes are made with.

    Raises OSError (ssl.SSLError is one) for files that cannot be read or do not belong together.
    """

    def __init__(self, cert_file: Path, key_file: Path) -> None:
        self._files = (cert_file, key_file)
        self._seen = self._stamps()
        self.context = new_context(*self._files)

    async def follow(self) -> None:
        """Take a renewed certificate up for the connections that come, for ever.

        Files that are no good leave the old certificate in place, and are logged once.
        """
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Read the files again if they have changed."""
        stamps = self._stamps()
        if stamps == self._seen:
            return
        self._seen = stamps
        try:
            new_context(*self._files)  # tried apart: half a change must not reach the one in use
            self.context.load_cert_chain(*self._files)
        except OSError as error:
            log.error("certificate kept as it was", file=str(self._files[0]), reason=str(error))
            return
        log.info("certificate renewed", file=str(self._files[0]))

    def _stamps(self) -> list[Stamp | None]:
        return [stamp(path) for path in self._files]


def new_context(cert_file: Path, key_file: Path) -> ssl.SSLContext:
    """A server's context: TLS 1.2 and 1.3."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = LOWEST
    context.load_cert_chain(cert_file, key_file)
    return context


def stamp(path: Path) -> Stamp | None:
    """What changes when a file does; None while it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def server_certificate(options: ServiceOptions) -> Certificate | None:
    """The certificate of the options, None for plain HTTP; leaves the process if it is bad."""
    if options.tls_cert_file is None or options.tls_key_file is None:
        return None
    try:
        return Certificate(options.tls_cert_file, options.tls_key_file)
    except OSError as error:
        refuse([f"TLS_CERT_FILE, TLS_KEY_FILE: {options.tls_cert_file}: {error}"])


def client_context(ca_file: Path | None) -> ssl.SSLContext | None:
    """Whom a client believes: the CAs of a file alone; None for those of the machine.

    Leaves the process when the file is no good.
    """
    if ca_file is None:
        return None
    try:
        context = ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:
        refuse([f"TLS_CA_FILE: {ca_file}: {error}"])
    context.minimum_version = LOWEST
    return context


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
