"""What a store, or the guard before it, refuses: as letters, by message and by reason."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from collector.letters import letter_of
from collector.narrow import Piece, Refused
from collector.spool import Origin, Spooled
from collector.validate import Reject, as_message, count_points, parts_of
from common.models import Sample
from common.queue.base import Letter
from common.storage import cardinality
from common.wire import message_id

BY_STORE = "refused_by_store"
DEAD_LETTER = "dead-letter"

Place = tuple[Spooled, int]
"""A delivery, and which of its messages."""


def places_of(items: Sequence[Spooled]) -> list[Place]:
    """Where each sample of some deliveries comes from."""
    return [
        (item, index)
        for item in items
        for index, count in enumerate(item.counts)
        for _ in range(count)
    ]


def refused_by_guard(refused: Sequence[cardinality.Refused]) -> dict[str, list[Refused]]:
    """What a guard refused, by reason."""
    by_reason: defaultdict[str, list[Refused]] = defaultdict(list)
    for each in refused:
        by_reason[each.reason].append(Refused("", [Piece(each.at, each.sample)]))
    return by_reason


def rejects_of(
    places: Sequence[Place], refused: Sequence[Refused], reason: str = BY_STORE
) -> Iterator[tuple[Reject, Letter]]:
    """What was refused, by message and by the words of who refused it, with a letter of each."""
    by_message: defaultdict[tuple[int, int, str], dict[int, Sample]] = defaultdict(dict)
    items: dict[int, Spooled] = {}
    for part in refused:
        for piece in part.pieces:
            item, index = places[piece.at]
            items[item.offset] = item
            samples = by_message[item.offset, index, part.words]
            known = samples.get(piece.at)
            metrics = (known.metrics if known else {}) | piece.sample.metrics
            samples[piece.at] = Sample(piece.sample.gpu, piece.sample.timestamp, metrics)
    for (offset, index, words), samples in by_message.items():
        yield from letters_of(items[offset], index, reason, words, list(samples.values()))


def letters_of(
    item: Spooled, index: int, reason: str, words: str, samples: Sequence[Sample]
) -> Iterator[tuple[Reject, Letter]]:
    """The letters of one message's samples."""
    origin = item.origin or Origin("unknown", 0, [0] * len(item.counts))
    batch_id = message_id(origin.broker, origin.partition, origin.offsets[index])
    points = count_points(samples)
    for part in parts_of([msgspec.json.encode(sample) for sample in samples]):
        content = as_message(batch_id, DEAD_LETTER, samples[0].timestamp, part)
        reject = Reject(reason, words, points, content)
        yield reject, letter_of(reject, origin, index, item.attempt)
        points = 0  # counted with the first part
