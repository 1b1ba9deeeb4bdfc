"""JSON log lines, one shape for ours and for the libraries'."""

import logging
import sys
from contextvars import ContextVar
from typing import TextIO

# structlog would import rich, to colour tracebacks that are one line of JSON here: a seventh of the
# time that a service takes to start.
_hidden = "rich" not in sys.modules
if _hidden:
    sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

if _hidden:
    del sys.modules["rich"]

request_id: ContextVar[str] = ContextVar("request_id", default="")


def request_headers() -> dict[str, str]:
    """What a request to another service carries, so that its lines can be found by the same id."""
    under_way = request_id.get()
    return {"X-Request-ID": under_way} if under_way else {}


def add_request_id(
    logger: object, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Put the id of the request under way on the line, if there is one."""
    under_way = request_id.get()
    if under_way:
        event["request_id"] = under_way
    return event


_SHARED: list[structlog.typing.Processor] = [
    add_request_id,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
_QUIET = ("uvicorn.error", "uvicorn.access", "asyncio")


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what stderr is at that moment: a progress bar puts itself below the lines."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        """It is never another."""


def configure(level: str) -> None:
    """Send every record of this process to stderr as one JSON object a line."""
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = StderrHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module or part, e.g. ``get("broker.partition")``."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
