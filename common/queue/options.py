"""The options of who speaks to the queue."""

from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, BeforeValidator, SecretStr

from common.options import Options, option, refuse_contradiction
from common.queue.address import DEFAULT_URL, QueueAddress, check_url

QUEUE_HELP = (
    "Where the queue is: the proxy, or `redis://`, `nats://`, `kafka://` (docs/engines.md). "
    "With a password in it, give it by environment or file."
)

QueueUrl = Annotated[SecretStr, BeforeValidator(refuse_contradiction), AfterValidator(check_url)]

MaybeQueueUrl = Annotated[
    SecretStr,
    BeforeValidator(refuse_contradiction),
    AfterValidator(lambda url: check_url(url) if url.get_secret_value() else url),
]
"""As QueueUrl, or empty."""


def queue_option(default: str, help_text: str = QUEUE_HELP) -> Any:
    """The row of the queue's address; its older name goes on."""
    mark = {"on_command_line": True}
    names = {"also": ("MSG_QUEUE_ADDR",)}
    return option("QUEUE_URL", SecretStr(default), help_text, **names, json_schema_extra=mark)


class QueueOptions(Options):
    """What a client of the queue takes."""

    queue_url: QueueUrl = queue_option(DEFAULT_URL)


class _Given(Protocol):
    @property
    def queue_url(self) -> SecretStr: ...

    @property
    def service_token(self) -> SecretStr: ...

    @property
    def tls_ca_file(self) -> Path | None: ...


def queue_address(options: _Given, direct: bool = False) -> QueueAddress:
    """The address that options name, with what is shown there."""
    url = options.queue_url.get_secret_value()
    return QueueAddress(url, options.service_token, options.tls_ca_file, direct)


def check_direct(options: _Given, direct: bool) -> None:
    """Refuse a way around a proxy that is not there; raises ValueError."""
    if direct and queue_address(options).engine is not None:
        raise ValueError("MSG_QUEUE_DIRECT goes around our proxy, and QUEUE_URL names none")
