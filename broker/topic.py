"""One topic: its partitions, what was set for it, who is paused, its dead letters."""

import asyncio
from pathlib import Path

import msgspec

from broker import topic_file
from broker.deadletters import DeadLetters
from broker.member import TOPIC_GREW
from broker.partition import Partition, Waker
from broker.settings import Policy, TopicRequest, changed, policy_of
from broker.surroundings import Surroundings
from broker.topic_file import TopicState
from common import logs
from common.errors import InvalidRequest, NotFound, Overloaded, TopicConflict
from common.threads import run_in
from common.wire import check_name

log = logs.get("broker.topic")

DEAD_DIRECTORY = "dead"


class Topic:
    """A name and its partitions, all of them, whichever broker the ring gives them to.

    Owns its file: every change is on disk before it holds.
    """

    def __init__(self, directory: Path, state: TopicState, shared: Surroundings) -> None:
        self.name = directory.name
        self.dead: dict[str, DeadLetters] = {}
        self.partitions: list[Partition] = []
        self.policy: Policy
        self.state: TopicState
        self._directory = directory
        self._shared = shared
        self._turn = 0
        self._changing = asyncio.Lock()
        self._closed = False
        self._take_up(state, self._open_partitions(0, state.partitions))
        for group in shared.files.names(directory / DEAD_DIRECTORY):
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

    def has_group(self, group: str) -> bool:
        """Whether a group has a place in some partition."""
        return any(part.groups.get(group) is not None for part in self.partitions)

    def admit(self, group: str) -> None:
        """Refuse a new group where there are as many as a topic may have."""
        most = self._shared.options.max_groups
        if not self.has_group(group) and len(self.groups()) >= most:
            raise Overloaded(f"topic {self.name} has {most} groups and takes no more")

    async def forget(self, group: str) -> None:
        """Drop a group's place in every partition; on return it is gone from the disk."""
        for part in self.partitions:
            part.groups.forget(group)
        await asyncio.gather(*(part.groups.save(surely=True) for part in self.partitions))

    def streams(self, group: str | None = None) -> set[Waker]:
        """The open streams, or those of one group."""
        return {
            stream
            for part in self.partitions
            for stream in part.wakers
            if group is None or stream.group == group
        }

    def is_paused(self, group: str) -> bool:
        """Whether nothing is delivered to a group."""
        return self.state.paused or group in self.state.paused_groups

    async def change(self, request: TopicRequest) -> None:
        """Set what a request asks for; raises TopicConflict for fewer partitions."""
        async with self._changing:
            count = request.partitions or self.state.partitions
            if count < self.state.partitions:
                raise TopicConflict(
                    f"topic {self.name} has {self.state.partitions} partitions; the count may "
                    "grow, never shrink"
                )
            settings = changed(self.state.settings, request)
            if (count, settings) != (self.state.partitions, self.state.settings):
                await self._set(partitions=count, settings=settings)

    async def pause(self, group: str | None) -> None:
        """Stop deliveries to a group, or to every group there is and will be."""
        async with self._changing:
            groups = sorted({*self.state.paused_groups, *([group] if group else [])})
            if len(groups) > self._shared.options.max_groups:
                raise Overloaded(f"topic {self.name} has {len(groups) - 1} paused groups already")
            await self._set(paused=self.state.paused or not group, paused_groups=tuple(groups))

    async def resume(self, group: str | None) -> None:
        """Deliver again: to a group that was paused by name, or to all of them."""
        async with self._changing:
            groups = tuple(name for name in self.state.paused_groups if group and name != group)
            await self._set(paused=self.state.paused and bool(group), paused_groups=groups)

    async def dead_letters(self, group: str) -> DeadLetters:
        """The dead letters of a group, their log made if it is not there."""
        if group not in self.dead:
            async with self._changing:
                if self._closed:
                    raise NotFound(f"topic {self.name} is gone")
                await run_in(self._shared.disk, self._make_dead, group)
        return self.dead[group]

    async def close(self) -> None:
        """Close every file, all at once; nothing is written any more."""
        async with self._changing:
            self._closed = True
        await asyncio.gather(*(partition.close() for partition in self.partitions))
        await asyncio.gather(*(dead.close() for dead in self.dead.values()))

    async def _set(self, **changes: object) -> None:
        if self._closed:
            raise NotFound(f"topic {self.name} is gone")
        state = msgspec.structs.replace(self.state, **changes)
        fresh = await self._grow(state.partitions)
        await run_in(self._shared.disk, topic_file.save, self._shared.files, self._directory, state)
        self._take_up(state, fresh)
        log.info("topic changed", topic=self.name, **msgspec.to_builtins(state))
        if fresh:
            for stream in [stream for stream in self.streams() if stream.member.whole]:
                stream.dismiss(TOPIC_GREW)

    async def _grow(self, count: int) -> list[Partition]:
        """Open partitions that are not there yet, and in them a place of every group of the topic.

        A group must not miss what comes before its consumers do. One that reads some partitions
        alone is not of the whole topic.
        """
        known = len(self.partitions)
        try:
            fresh = await run_in(self._shared.disk, self._open_partitions, known, count)
        except OSError as error:
            raise topic_file.refusal(error) from error
        for group in self.groups():
            if all(part.groups.get(group) for part in self.partitions):
                await asyncio.gather(*(part.open_group(group, "earliest") for part in fresh))
        return fresh

    def _take_up(self, state: TopicState, fresh: list[Partition]) -> None:
        self.state = state
        self.policy = policy_of(state.settings, self._shared.options)
        self.partitions += fresh
        for part in self.partitions:
            part.retention.follow(self.policy)
            part.groups.is_paused = self.is_paused
            for group in part.groups:
                group.paused = self.is_paused(group.name)
            part.notify()

    def _open_partitions(self, first: int, stop: int) -> list[Partition]:
        return [
            Partition(self.name, number, self._directory / str(number), self._shared)
            for number in range(first, stop)
        ]

    def _is_ours(self, name: str) -> bool:
        try:
            self._shared.files.names(self._directory / DEAD_DIRECTORY / check_name(name, "group"))
        except (InvalidRequest, FileExistsError):
            return False
        return True

    def _make_dead(self, group: str) -> None:
        """Open a new log, whose directory survives a power cut before a letter is in it."""
        files, directory = self._shared.files, self._directory / DEAD_DIRECTORY
        files.names(directory / group)
        files.sync_directory(directory)
        files.sync_directory(self._directory)
        self._open_dead(group)

    def _open_dead(self, group: str) -> None:
        owner = f"{self.name}/{DEAD_DIRECTORY}/{group}"
        directory = self._directory / DEAD_DIRECTORY / group
        self.dead.setdefault(group, DeadLetters(directory, owner, self._shared))
