"""Which topics there are on this broker."""

import asyncio
import itertools
from pathlib import Path

import msgspec

from broker import topic_file
from broker.partition import Partition
from broker.settings import TopicRequest
from broker.surroundings import Surroundings
from broker.topic import Topic
from broker.topic_file import TOPIC_FILE, TopicState
from common import logs
from common.errors import GroupInUse, InvalidRequest, NotFound, Overloaded, TopicConflict
from common.journal.frame import FrameTooNewError
from common.journal.segment import SegmentTooNewError
from common.options import refuse
from common.threads import run_in
from common.wire import MAX_PARTITIONS, check_name

log = logs.get("broker.topics")

DELETED_PREFIX = ".deleted-"  # no topic's name begins so


class Topics:
    """Owns every topic of one data directory."""

    def __init__(self, directory: Path, shared: Surroundings) -> None:
        self._directory = directory
        self._shared = shared
        self._topics: dict[str, Topic] = {}
        self._making = asyncio.Lock()

    def all(self) -> list[Topic]:
        """Every topic, by name."""
        return [self._topics[name] for name in sorted(self._topics)]

    def partitions(self) -> list[Partition]:
        """Every partition of every topic."""
        return [partition for topic in self.all() for partition in topic.partitions]

    def get(self, name: str) -> Topic:
        """The topic of a name that must exist."""
        if name not in self._topics:
            raise NotFound(f"there is no topic {name}")
        return self._topics[name]

    def has(self, topic: Topic) -> bool:
        """Whether a topic was not deleted meanwhile."""
        return self._topics.get(topic.name) is topic

    async def open(self) -> None:
        """Recover every topic on disk and make those the options name."""
        names = await run_in(self._shared.disk, self._names_on_disk)
        for name in names:
            await self._open(name)
        for text in self._shared.options.topics:
            await self._make_named(*parse_topic(text))

    async def ensure(self, name: str, count: int | None = None) -> Topic:
        """Return a topic, made with ``count`` partitions if it is new."""
        topic = self._topics.get(name)
        if topic is None:
            async with self._making:
                topic = self._topics.get(name) or await self._make(name, count)
        if count is not None and count != len(topic.partitions):
            raise TopicConflict(
                f"topic {name} has {len(topic.partitions)} partitions, not {count}; keys are "
                "placed by the count, which PUT /topics can raise"
            )
        return topic

    async def put(self, name: str, request: TopicRequest) -> Topic:
        """Make a topic, or change it, as a request says."""
        topic = self._topics.get(name) or await self.ensure(name, request.partitions or None)
        await topic.change(request)
        return topic

    async def delete(self, name: str) -> None:
        """Forget a topic with everything it holds; raises GroupInUse while it has streams.

        It is renamed first: a crash leaves all of it or nothing.
        """
        async with self._making:
            topic = self.get(name)
            if streams := topic.streams():
                groups = sorted({stream.group for stream in streams})
                raise GroupInUse(
                    f"topic {name} has consumers; kick them first", details={"groups": groups}
                )
            del self._topics[name]
            await topic.close()
            try:
                await run_in(self._shared.disk, self._remove, name)
            except OSError as error:
                await self._open(name)
                raise topic_file.refusal(error) from error
        log.info("topic deleted", topic=name)

    async def close(self) -> None:
        """Close every topic, all at once."""
        await asyncio.gather(*(topic.close() for topic in self.all()))

    async def _make_named(self, name: str, count: int | None) -> None:
        """Make a topic of the option TOPICS."""
        try:
            await self.ensure(name, count)
        except TopicConflict:
            known = len(self._topics[name].partitions)
            refuse(
                [
                    f"TOPICS: topic {name} has {known} partitions on disk, not {count}. Write "
                    f"{name}:{known}; a running broker takes more by PUT /topics/{name}, which "
                    "places keys anew; fewer cannot be"
                ]
            )

    async def _make(self, name: str, count: int | None) -> Topic:
        if len(self._topics) >= self._shared.options.max_topics:
            raise Overloaded(f"this broker holds {len(self._topics)} topics and takes no more")
        directory = self._directory / name
        state = TopicState(count or self._shared.options.partitions_per_topic)
        await run_in(self._shared.disk, topic_file.save, self._shared.files, directory, state)
        topic = await self._open(name)
        await run_in(self._shared.disk, self._shared.files.sync_directory, directory)
        return topic

    async def _open(self, name: str) -> Topic:
        topic = await run_in(self._shared.disk, self._read, name)
        self._topics[name] = topic
        return topic

    def _read(self, name: str) -> Topic:
        directory = self._directory / name
        try:
            return Topic(directory, topic_file.load(self._shared.files, directory), self._shared)
        except (FrameTooNewError, SegmentTooNewError, msgspec.ValidationError) as error:
            way_out = "start the version that wrote it, or move the directory away"
            refuse([f"{directory}: {error}; nothing was changed: {way_out}"])

    def _names_on_disk(self) -> list[str]:
        """The topics there are; what a deletion left unfinished is finished."""
        names = self._shared.files.names(self._directory)
        for name in names:
            if name.startswith(DELETED_PREFIX):
                self._shared.files.remove_tree(self._directory / name)
        return sorted(name for name in names if self._is_topic(name))

    def _is_topic(self, name: str) -> bool:
        try:
            check_name(name, "topic")
            return TOPIC_FILE in self._shared.files.names(self._directory / name)
        except (InvalidRequest, FileExistsError):
            return False  # it is not ours

    def _remove(self, name: str) -> None:
        taken = self._shared.files.names(self._directory)
        names = (f"{DELETED_PREFIX}{number}" for number in itertools.count())
        target = self._directory / next(name for name in names if name not in taken)
        self._shared.files.replace(self._directory / name, target)
        try:
            self._shared.files.sync_directory(self._directory)
        except OSError:
            self._shared.files.replace(target, self._directory / name)
            raise
        try:
            self._shared.files.remove_tree(target)
        except OSError as error:  # it is gone for us; the next start tries again
            log.warning("deleted topic not unlinked", directory=str(target), reason=str(error))


def parse_topic(text: str) -> tuple[str, int | None]:
    """Read ``name:partitions`` or ``name`` from the option TOPICS."""
    name, _, count = text.partition(":")
    whole = count.isascii() and count.isdigit() and len(count) < 5
    if ":" in text and not (whole and 1 <= int(count) <= MAX_PARTITIONS):
        refuse([f"TOPICS: {text!r} must be name:partitions, 1 to {MAX_PARTITIONS} of them"])
    try:
        return check_name(name, "a topic"), int(count) if count else None
    except InvalidRequest as error:
        refuse([f"TOPICS: {text!r}: {error.message}"])
