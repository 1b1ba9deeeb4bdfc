"""Which topics there are on this broker, and their partitions."""

import asyncio
from pathlib import Path

from broker.deadletters import DeadLetters
from broker.partition import Partition
from broker.surroundings import Surroundings
from common import logs
from common.errors import InvalidRequest, NotFound, Overloaded, TopicConflict
from common.journal import position
from common.journal.frame import FrameTooNewError
from common.journal.segment import SegmentTooNewError
from common.options import refuse
from common.threads import run_in
from common.wire import check_name

log = logs.get("broker.topics")

TOPIC_FILE = "topic"
DEAD_DIRECTORY = "dead"


class Topic:
    """A name and its partitions, all of them, whichever broker the ring gives them to."""

    def __init__(
        self, name: str, partitions: list[Partition], directory: Path, shared: Surroundings
    ) -> None:
        self.name = name
        self.partitions = partitions
        self.dead: dict[str, DeadLetters] = {}
        self._directory = directory / DEAD_DIRECTORY
        self._shared = shared
        self._turn = 0
        for group in shared.files.names(self._directory):
            if self._is_ours(group):
                self._open_dead(group)

    def partition(self, number: int) -> Partition:
        """The partition of a number."""
        if number >= len(self.partitions):
            raise InvalidRequest(
                f"topic {self.name} has partitions 0 to {len(self.partitions) - 1}, not {number}"
            )
        return self.partitions[number]

    def next_partition(self) -> Partition:
        """The partitions in turn."""
        self._turn = (self._turn + 1) % len(self.partitions)
        return self.partitions[self._turn]

    def groups(self) -> list[str]:
        """The names of all groups that have a place in some partition."""
        return sorted({group.name for part in self.partitions for group in part.groups})

    async def dead_letters(self, group: str) -> DeadLetters:
        """The dead letters of a group, their log made if it is not there."""
        if group not in self.dead:
            await run_in(self._shared.disk, self._make_dead, group)
        return self.dead[group]

    async def close(self) -> None:
        """Close every file, all at once."""
        await asyncio.gather(*(partition.close() for partition in self.partitions))
        await asyncio.gather(*(dead.close() for dead in self.dead.values()))

    def _is_ours(self, name: str) -> bool:
        try:
            self._shared.files.names(self._directory / check_name(name, "group"))
        except (InvalidRequest, FileExistsError):
            return False
        return True

    def _make_dead(self, group: str) -> None:
        """Open a new log, whose directory survives a power cut before a letter is in it."""
        self._shared.files.names(self._directory / group)
        self._shared.files.sync_directory(self._directory)
        self._shared.files.sync_directory(self._directory.parent)
        self._open_dead(group)

    def _open_dead(self, group: str) -> None:
        owner = f"{self.name}/{DEAD_DIRECTORY}/{group}"
        self.dead.setdefault(group, DeadLetters(self._directory / group, owner, self._shared))


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

    async def open(self) -> None:
        """Recover every topic on disk and make those the options name."""
        names = await run_in(self._shared.disk, self._names_on_disk)
        for name in names:
            await self._open(name)
        for text in self._shared.options.topics:
            name, count = parse_topic(text, self._shared.options.partitions_per_topic)
            await self.ensure(name, count)

    async def ensure(self, name: str, count: int | None = None) -> Topic:
        """Return a topic, made with ``count`` partitions if it is new."""
        topic = self._topics.get(name)
        if topic is None:
            async with self._making:
                topic = self._topics.get(name) or await self._make(name, count)
        if count is not None and count != len(topic.partitions):
            raise TopicConflict(
                f"topic {name} has {len(topic.partitions)} partitions; the count stays as it was "
                "made, since keys are placed by it"
            )
        return topic

    async def close(self) -> None:
        """Close every topic, all at once."""
        await asyncio.gather(*(topic.close() for topic in self.all()))

    async def _make(self, name: str, count: int | None) -> Topic:
        if len(self._topics) >= self._shared.options.max_topics:
            raise Overloaded(f"this broker holds {len(self._topics)} topics and takes no more")
        state = {"partitions": count or self._shared.options.partitions_per_topic}
        await run_in(self._shared.disk, self._write_down, name, state)
        topic = await self._open(name)
        directory = self._directory / name
        await run_in(self._shared.disk, self._shared.files.sync_directory, directory)
        return topic

    async def _open(self, name: str) -> Topic:
        topic = await run_in(self._shared.disk, self._read, name)
        self._topics[name] = topic
        return topic

    def _names_on_disk(self) -> list[str]:
        return sorted(
            name for name in self._shared.files.names(self._directory) if self._is_topic(name)
        )

    def _is_topic(self, name: str) -> bool:
        try:
            return TOPIC_FILE in self._shared.files.names(self._directory / name)
        except FileExistsError:
            return False  # a file that is not ours

    def _write_down(self, name: str, state: dict[str, int]) -> None:
        directory = self._directory / name
        self._shared.files.names(directory)
        position.save(self._shared.files, directory / TOPIC_FILE, state)
        self._shared.files.sync_directory(directory)
        self._shared.files.sync_directory(self._directory)

    def _recount(self, name: str) -> dict[str, int]:
        """Write a damaged topic file anew: every partition has had a directory from the start."""
        names = self._shared.files.names(self._directory / name)
        state = {"partitions": sum(entry.isascii() and entry.isdigit() for entry in names)}
        log.error("topic file damaged, partitions counted", topic=name, **state)
        self._write_down(name, state)
        return state

    def _read(self, name: str) -> Topic:
        directory = self._directory / name
        state = position.load(self._shared.files, directory / TOPIC_FILE)
        if state is None:
            state = self._recount(name)
        numbers = range(int(state["partitions"]))
        try:
            partitions = [Partition(name, n, directory / str(n), self._shared) for n in numbers]
            return Topic(name, partitions, directory, self._shared)
        except (FrameTooNewError, SegmentTooNewError) as error:
            refuse([f"{directory}: {error}; nothing was changed"])


def parse_topic(text: str, default_count: int) -> tuple[str, int]:
    """Read ``name:partitions`` or ``name`` from the option TOPICS."""
    name, _, count = text.partition(":")
    if count and not count.isdigit():
        refuse([f"TOPICS: {text!r} must be name:partitions"])
    return check_name(name, "TOPICS"), int(count or default_count)
