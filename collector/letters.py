"""What cannot be stored, on its way to the dead-letter queue."""

from collections import Counter
from collections.abc import Sequence

import xxhash

from collector.spool import Origin
from collector.validate import Reject
from common import logs
from common.clock import Clock
from common.errors import TelemetryError, TooLarge, may_be_repeated
from common.queue.base import Consumer, Letter
from common.retry import Backoff
from common.wire import message_id

log = logs.get("collector.letters")

MAX_WORDS = 1024
HOPELESS_SECONDS = 30.0


class Letters:
    """Puts letters into the queue's dead-letter queue, however long that takes.

    ``counts`` are points by reason; what cannot be read at all counts as one. A letter written
    again, after a crash, has the id that it had.
    """

    def __init__(self, consumer: Consumer, clock: Clock) -> None:
        self.counts: Counter[str] = Counter()
        self._consumer = consumer
        self._clock = clock

    async def bury(self, letters: Sequence[Letter]) -> None:
        """Return when all letters are in the queue; raises TooLarge."""
        backoff = Backoff(self._clock)
        while True:
            try:
                return await self._consumer.bury(letters)
            except TooLarge:
                raise
            except TelemetryError as error:
                log.error("dead letters not taken", code=error.code, reason=error.message)
                passing = may_be_repeated(error.code)
                await backoff.wait(0.0 if passing else HOPELESS_SECONDS)

    def count(self, rejects: Sequence[Reject]) -> None:
        """Count what was rejected."""
        for reject in rejects:
            self.counts[reject.reason] += reject.points


def letter_of(reject: Reject, origin: Origin, index: int, attempt: int) -> Letter:
    """The letter of what was rejected of the message ``origin.offsets[index]``."""
    offset = origin.offsets[index]
    came_from = message_id(origin.broker, origin.partition, offset)
    digest = xxhash.xxh3_128_hexdigest(reject.words.encode() + b"\0" + reject.content)
    return Letter(
        id=f"{came_from}/{digest}",
        partition=origin.partition,
        offset=offset,
        attempts=attempt,
        error=reject.words[:MAX_WORDS],
        payload=reject.content,
    )
