"""The queue as a command of this machine reaches it."""

from pathlib import Path

import aiohttp
from pydantic import SecretStr

from common.http.tls import client_context
from common.options import Options, option
from common.queue.http import open_session

REQUEST_SECONDS = 10.0


class QueueOptions(Options):
    """What a command reads from the environment."""

    queue_url: str = option("MSG_QUEUE_ADDR", "http://127.0.0.1:7080", "URL of the proxy.")
    service_token: SecretStr = option("SERVICE_TOKEN", SecretStr(""), "Shared secret.")
    tls_ca_file: Path | None = option("TLS_CA_FILE", None, "CAs that its certificate must be of.")


def open_queue(data_dir: Path, queue_url: str | None) -> aiohttp.ClientSession:
    """A session with the proxy; the token is the environment's, or the data directory's."""
    options = QueueOptions.load({})
    token = options.service_token
    kept = data_dir / "secrets" / "service-token"
    if not token.get_secret_value() and kept.exists():
        token = SecretStr(kept.read_text(encoding="utf-8").strip())
    tls = client_context(options.tls_ca_file)
    return open_session(queue_url or options.queue_url, token, REQUEST_SECONDS, tls)
