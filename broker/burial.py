"""Doomed messages into the dead-letter queue, and back out of it."""

import msgspec

from broker.commit import Draft
from broker.deadletters import DeadLetter, DeadLetters, Kept
from broker.events import text_flags
from broker.group import Group
from broker.partition import Partition
from broker.subscription import FOR_GROUP
from broker.topic import Topic
from broker.verdicts import Doomed
from common import logs
from common.clock import Clock
from common.errors import TelemetryError
from common.journal.frame import EXTRA, FOR_ONE, Record

log = logs.get("broker.burial")

READ_BYTES = 1 << 20
AGAIN_SECONDS = 5.0
REDRIVE_PAGE = 100


async def bury(topic: Topic, clock: Clock) -> None:
    """Put every doomed message of a topic into its group's dead-letter queue."""
    for partition in topic.partitions:
        for group in list(partition.groups):  # a consumer may come with a new one meanwhile
            while group.doomed:
                await bury_one(topic, partition, group, group.doomed[0], clock)


async def bury_one(
    topic: Topic, partition: Partition, group: Group, doomed: Doomed, clock: Clock
) -> None:
    """Keep doomed messages as dead letters; only then is the group done with them."""
    try:
        letters = await write_letters(partition, doomed, int(clock.wall() * 1000))
        await (await topic.dead_letters(group.name)).add(letters)
    except (TelemetryError, OSError) as error:
        log.error("dead letter not kept", partition=partition.name, reason=str(error))
        group.not_buried(doomed, clock.monotonic() + AGAIN_SECONDS)
        return
    group.buried(doomed)
    log.warning(
        "messages dead-lettered",
        partition=partition.name,
        group=group.name,
        first=doomed.start,
        last=doomed.stop - 1,
        reason=doomed.reason,
    )


async def write_letters(
    partition: Partition, doomed: Doomed, now_ms: int
) -> list[tuple[DeadLetter, bytes]]:
    """The letters of doomed messages; what the disk does not have any more leaves none."""
    letters: list[tuple[DeadLetter, bytes]] = []
    offset = doomed.start
    while offset < doomed.stop:
        records = await partition.read(offset, READ_BYTES)
        for record in records:
            letters += letters_of(partition, record, doomed, now_ms)
        offset = records[-1].end if records else doomed.stop
    return letters


def letters_of(
    partition: Partition, record: Record, doomed: Doomed, now_ms: int
) -> list[tuple[DeadLetter, bytes]]:
    """The letters of those messages of a record that are doomed."""
    meta = msgspec.msgpack.decode(record.meta) if record.meta else {}
    first, stop = max(doomed.start, record.offset), min(doomed.stop, record.end)
    return [
        (
            DeadLetter(
                partition=partition.number,
                offset=offset,
                attempts=doomed.attempts,
                reason=doomed.reason,
                error=doomed.error,
                dead_at=now_ms,
                key=meta.get("key"),
                headers=meta.get("headers"),
            ),
            record.payloads()[offset - record.offset],
        )
        for offset in range(first, stop)
    ]


async def redrive(topic: Topic, group: str, reason: str, rate: float, clock: Clock) -> None:
    """Produce the dead letters that a group has now again, for it alone, ``rate`` a second.

    A letter is taken out once it is stored again: a crash in between brings it twice. What dies
    again meanwhile stays in the queue. A disk that takes no more ends it; the rest stays too.
    """
    dead = await topic.dead_letters(group)
    count = number = 0
    end = dead.end
    try:
        while kept := [k for k in await dead.page(number, REDRIVE_PAGE, reason) if k.number < end]:
            for letter in kept:
                await redrive_one(topic, group, dead, letter)
                count += 1
                await clock.sleep(1 / rate)
            number = kept[-1].number + 1
    except (TelemetryError, OSError) as error:
        log.error("redrive ended early", topic=topic.name, group=group, reason=str(error))
    log.info("dead letters redriven", topic=topic.name, group=group, count=count)


async def redrive_one(topic: Topic, group: str, dead: DeadLetters, kept: Kept) -> None:
    """Store one letter's message again, marked for its group, then take the letter out."""
    letter = kept.letter
    meta = {FOR_GROUP: group, "key": letter.key, "headers": letter.headers}
    flags = text_flags(kept.payload, lines=False) | FOR_ONE
    if letter.key is not None or letter.headers is not None:
        flags |= EXTRA
    packed = msgspec.msgpack.encode({name: value for name, value in meta.items() if value})
    await topic.partition(letter.partition).produce(Draft(kept.payload, 1, flags, packed), "fsync")
    await dead.remove([kept.number])
