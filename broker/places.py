"""Where every group stands in a partition, in memory and on disk."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from broker.group import Group
from broker.rules import Rules
from broker.surroundings import Surroundings
from common import logs
from common.errors import Unavailable
from common.journal import position
from common.threads import run_in

log = logs.get("broker.places")

GROUPS_FILE = "groups"


class Places:
    """The groups of one partition, and the small file that keeps their places."""

    def __init__(self, name: str, directory: Path, shared: Surroundings) -> None:
        self._name = name
        self._path = directory / GROUPS_FILE
        self._shared = shared
        self._groups: dict[str, Group] = {}
        self._saving = asyncio.Lock()
        self._forgotten = False
        self._closed = False
        self.failed_with = 0  # errno of the last save, 0 when it succeeded
        self.is_paused: Callable[[str], bool] = lambda name: False

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())

    def __bool__(self) -> bool:
        return bool(self._groups)

    def get(self, name: str) -> Group | None:
        """The place of a group, if it has one here."""
        return self._groups.get(name)

    def load(self, first: int, end: int) -> None:
        """Take up the places kept, within what the log holds; blocks.

        Places that were cut are written down at once: after one more crash they would lie among
        messages that came meanwhile, and nobody had seen.
        """
        state = position.load(self._shared.files, self._path) or {}
        cut = []
        for name, kept in state.items():
            group = self._groups[name] = self._new(name, 0)
            if group.restore(kept, first, end):
                cut.append(name)
            if missing := group.lost - int(kept.get("lost", 0)):
                log.error("messages lost", partition=self._name, group=name, messages=missing)
        if cut:
            log.warning("places behind the end of the log", partition=self._name, groups=cut)
            try:
                self._write({group.name: group.state() for group in self}, surely=True)
            except OSError as error:
                log.error("groups not written down", partition=self._name, reason=str(error))

    async def open(self, name: str, offset: int, first: int) -> Group:
        """Make a place; it is on disk before this returns: a crash must not move it.

        One at ``first``, where the group would begin anyway, does not have to be.
        """
        group = self._groups[name] = self._new(name, offset)
        if not await self.save(surely=True) and offset > first:
            self.forget(name)
            raise Unavailable(f"the place of group {name} cannot be written down")
        return group

    def forget(self, name: str) -> None:
        """Drop a place: the group would begin anew, and holds no data any more."""
        if self._groups.pop(name, None) is not None:
            self._forgotten = True

    async def save(self, surely: bool = False) -> bool:
        """Write down the places, if any moved; return whether that is done.

        ``surely`` so that they survive a power cut.
        """
        async with self._saving:
            if self._closed:
                return False
            moved = [group for group in self if group.dirty]
            if not moved and not self._forgotten and not surely:
                return True
            state = {group.name: group.state() for group in self}
            self._forgotten = False
            for group in moved:
                group.dirty = False
            try:
                await run_in(self._shared.disk, self._write, state, surely)
            except OSError as error:
                self._forgotten = True
                self.failed_with = error.errno or 0
                log.warning("groups not written down", partition=self._name, reason=str(error))
                return False
            self.failed_with = 0
            return True

    async def close(self) -> None:
        """Write down the places for the last time."""
        await self.save()
        self._closed = True

    def floor(self, default: int) -> int:
        """Below it every group is done; ``default`` while there is no group."""
        return min((group.floor for group in self), default=default)

    def _write(self, state: dict[str, Any], surely: bool) -> None:
        position.save(self._shared.files, self._path, state)
        if surely:
            self._shared.files.sync_directory(self._path.parent)

    def _new(self, name: str, offset: int) -> Group:
        options = self._shared.options
        rules = Rules(
            max_deliveries=options.max_deliveries,
            retry_first_seconds=options.retry_first_seconds,
            retry_last_seconds=options.retry_last_seconds,
            max_lease_seconds=options.max_lease_seconds,
        )
        group = Group(name, offset, self._shared.new_delivery, rules, self._shared.rng)
        group.paused = self.is_paused(name)
        return group
