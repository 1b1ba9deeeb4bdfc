"""A delivery, sorted into what goes on and what does not."""

from collections.abc import Sequence
from dataclasses import dataclass

from collector.known import Known
from collector.letters import letter_of
from collector.spool import Entry, Origin
from collector.validate import Reject, Verdict, examine
from common.queue.base import Delivery, Letter
from common.wire import parse_receipt

MAX_REASON = 1024


@dataclass(slots=True)
class Examined:
    """``entry`` is what may be stored; ``rejected`` says by offset why a whole message may not.

    ``letters`` are the broken parts of messages whose rest is good, ``rejects`` all that is broken.
    """

    entry: Entry
    offsets: range
    rejected: dict[int, str]
    letters: list[Letter]
    rejects: list[Reject]

    @property
    def messages(self) -> int:
        """How many messages were delivered."""
        return len(self.offsets)


def examine_delivery(delivery: Delivery, known: Known) -> Examined:
    """Validate every message of a delivery."""
    whole = parse_receipt(delivery.receipt)
    origin = Origin(whole.broker, delivery.partition, [])
    entry = Entry(delivery.receipt, origin, delivery.attempt, [], [], [])
    offsets = range(delivery.offset, delivery.offset + len(delivery.payloads))
    examined = Examined(entry, offsets, {}, [], [])
    for offset, payload in zip(offsets, delivery.payloads, strict=True):
        take(examined, offset, examine(payload, known))
    return examined


def take(examined: Examined, offset: int, verdict: Verdict) -> None:
    """Add what became of one message."""
    entry = examined.entry
    if verdict.payload:
        entry.payloads.append(verdict.payload)
        entry.samples.extend(verdict.samples)
        entry.counts.append(len(verdict.samples))
        entry.origin.offsets.append(offset)
    if not verdict.rejects:
        return
    examined.rejects += verdict.rejects
    if verdict.payload:
        examined.letters += [
            letter_of(reject, entry.origin, -1, entry.attempt) for reject in verdict.rejects
        ]
    else:
        words = "; ".join(reject.words for reject in verdict.rejects)
        examined.rejected[offset] = words[:MAX_REASON]


def receipts_of(receipt: str, offsets: Sequence[int]) -> list[str]:
    """A receipt for each of some messages of a delivery, or its own when they are all."""
    whole = parse_receipt(receipt)
    if len(offsets) == whole.last - whole.first + 1:
        return [receipt]
    return [str(whole._replace(first=offset, last=offset)) for offset in offsets]
