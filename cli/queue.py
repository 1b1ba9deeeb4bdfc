"""The queue as a command of this machine reaches it."""

from pathlib import Path

import aiohttp
from pydantic import SecretStr

from cli.service_command import refuse_password
from common.http.tls import client_context
from common.options import option, refuse
from common.queue.address import QueueAddress, has_password
from common.queue.http import open_session
from common.queue.options import QueueOptions, queue_address

REQUEST_SECONDS = 10.0


class QueueCommandOptions(QueueOptions):
    """What a command reads from the environment."""

    service_token: SecretStr = option("SERVICE_TOKEN", SecretStr(""), "Shared secret.")
    tls_ca_file: Path | None = option("TLS_CA_FILE", None, "CAs that its certificate must be of.")


def find_queue(data_dir: Path, queue_url: str | None) -> QueueAddress:
    """The queue of ``--queue`` or of the environment, with its token or the data directory's.

    Leaves the process for an address that is none, or that has a password on the command line.
    """
    if queue_url is not None and has_password(queue_url):
        refuse_password("--queue", "QUEUE_URL")
    options = QueueCommandOptions.load({} if queue_url is None else {"queue_url": queue_url})
    found = queue_address(options)
    kept = data_dir / "secrets" / "service-token"
    if not found.token.get_secret_value() and kept.exists():
        return found._replace(token=SecretStr(kept.read_text(encoding="utf-8").strip()))
    return found


def open_queue(data_dir: Path, queue_url: str | None) -> aiohttp.ClientSession:
    """A session with our own proxy; leaves the process for another engine's address."""
    found = find_queue(data_dir, queue_url)
    if found.engine is not None:
        refuse(["QUEUE_URL: this command is about our own brokers; an engine has its own tools"])
    tls = client_context(found.tls_ca_file)
    return open_session(found.url, found.token, REQUEST_SECONDS, tls)
