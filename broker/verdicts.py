"""What is decided over messages that were not acked."""

from typing import NamedTuple

DELIVERY_LIMIT = "DELIVERY_LIMIT"
REJECTED = "REJECTED"


class Nack(NamedTuple):
    """What a consumer wants instead of an ack.

    ``release``: again at once, not counted. ``retry``: again after a delay. ``reject``: never.
    """

    mode: str
    delay_seconds: float | None = None
    reason: str = ""


class Doomed(NamedTuple):
    """Messages on their way to the dead-letter queue."""

    start: int
    stop: int
    attempts: int
    reason: str
    error: str
