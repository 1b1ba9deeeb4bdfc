"""Dead letters on their way to the queue: in requests of bounded size, a partition each."""

import base64
from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from common.queue.base import Letter
from common.wire import LetterEnvelope

REQUEST_BYTES = 1 << 20
REQUEST_LETTERS = 500


def requests_of(letters: Sequence[Letter]) -> Iterator[tuple[int, bytes]]:
    """Yield (partition, body) of each request; a letter over the size goes alone."""
    by_partition: defaultdict[int, list[Letter]] = defaultdict(list)
    for letter in letters:
        by_partition[letter.partition].append(letter)
    for partition, ours in by_partition.items():
        for together in _parts(ours):
            yield partition, msgspec.json.encode({"letters": [*map(_envelope, together)]})


def _parts(letters: Sequence[Letter]) -> Iterator[list[Letter]]:
    part: list[Letter] = []
    size = 0
    for letter in letters:
        size += len(letter.payload)
        if part and (size > REQUEST_BYTES or len(part) == REQUEST_LETTERS):
            yield part
            part, size = [], len(letter.payload)
        part.append(letter)
    if part:
        yield part


def _envelope(letter: Letter) -> LetterEnvelope:
    found = LetterEnvelope(letter.id, letter.offset, letter.attempts, letter.error)
    try:
        found.payload = letter.payload.decode()
    except UnicodeDecodeError:
        found.payload_base64 = base64.b64encode(letter.payload).decode()
    return found
