"""Who consumes: one open stream, as operators see it, and how it is told to go."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Member:
    """``connected_at`` in milliseconds since 1970 UTC; ``whole``: it reads every partition."""

    id: str = ""
    client: str = ""
    connected_at: int = 0
    whole: bool = True


class Farewell(NamedTuple):
    """Why a stream ends: a code for the client, words for people."""

    code: str
    reason: str


STOPPING = Farewell("STOPPING", "the broker is stopping")
KICKED = Farewell("KICKED", "an operator closed this stream")
TOPIC_GREW = Farewell("TOPIC_GREW", "the topic has more partitions now; connect again")
