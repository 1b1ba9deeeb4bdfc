"""What of a partition's log may go, what must, and whether there is room for more."""

from collections.abc import Callable

from broker.commit import Committer
from broker.group import Group
from broker.places import Places
from broker.settings import Policy
from common import disk, logs
from common.errors import PartitionFull, TooLarge

log = logs.get("broker.retention")

AGE, SIZE = "age", "size"
FILES_BELOW_BOUND = 4
LEAST_FILE_BYTES = 4096

LetGo = Callable[[Group, int, str], int]


class Retention:
    """Unlinks log files as the topic's policy says.

    ``let_go`` has a group be done with everything below an offset. ``dropped_unseen`` counts, by
    reason, messages that went while there was no group.
    """

    def __init__(
        self,
        name: str,
        committer: Committer,
        groups: Places,
        let_go: LetGo,
        policy: Policy,
        most_file_bytes: int,
    ) -> None:
        self.dropped_unseen: dict[str, int] = {}
        self.policy = policy
        self._name = name
        self._committer = committer
        self._journal = committer.journal
        self._groups = groups
        self._let_go = let_go
        self._most_file_bytes = most_file_bytes
        self._retired_at = (-1, -1)
        self.follow(policy)

    def follow(self, policy: Policy) -> None:
        """Take up what holds for the topic now."""
        self.policy = policy
        self._journal.segment_bytes = file_bytes(policy, self._most_file_bytes)

    async def retire(self) -> int:
        """Unlink files that are old or too many; return how many.

        Only what every group has settled, unless the topic drops its oldest.
        """
        if self.policy.drops:
            return await self._drop_oldest()
        floor = self._groups.floor(0)
        self._retired_at = (floor, self._journal.next_offset)
        limit = await self._committer.settled(floor, self.policy)
        if limit and not await self._write_places():
            return 0
        return await self._trim(lambda: min(limit, self._groups.floor(0)))

    async def _write_places(self) -> bool:
        """Whether files may go: a place below the log would be read as loss.

        Where only room is lacking, their going makes it.
        """
        return await self._groups.save(surely=True) or self._groups.failed_with in disk.PASSING

    async def _trim(self, before: Callable[[], int]) -> int:
        """Unlink, and write down the places if only now there is room for them."""
        count = await self._committer.trim(before)
        if self._groups.failed_with:
            await self._groups.save(surely=True)
        return count

    async def find_room(self, size: int) -> None:
        """Unlink what is settled before a produce is refused because the log is at its cap."""
        cap = self.policy.max_partition_bytes
        if not cap or self.policy.drops:
            return
        if size > cap:
            raise TooLarge(f"no request over {cap} bytes fits into partition {self._name}")
        end = self._journal.next_offset
        if self._too_large(size, cap) and self._retired_at != (self._groups.floor(0), end):
            await self.retire()
        if self._too_large(size, cap) and self._wanted():
            raise PartitionFull(f"partition {self._name} is at its cap of {cap} bytes")

    def _too_large(self, size: int, cap: int) -> bool:
        return self._journal.size + self._committer.pending_bytes + size > cap

    def _wanted(self) -> bool:
        """Whether anything of the log is; if not, the file that comes next lets all of it go."""
        floor = self._groups.floor(self._journal.first_offset)
        return self._journal.next_offset > floor or self._committer.pending_bytes > 0

    async def _drop_oldest(self) -> int:
        """The groups hear of it, and it is written down, before the files go."""
        outdated = await self._committer.outdated(self.policy)
        if not outdated:
            return 0
        begun = self._journal.first_offset
        for stop, too_much in outdated:
            self._drop(begun, stop, SIZE if too_much else AGE)
            begun = stop
        if self._groups and not await self._write_places():
            return 0
        segments = await self._trim(lambda: begun)
        self._drop(begun, begun, SIZE)  # a group that came, or was moved, meanwhile
        return segments

    def _drop(self, start: int, stop: int, reason: str) -> None:
        """Have every group be done below ``stop``; what no group was there for counts too."""
        groups = {group.name: self._let_go(group, stop, reason) for group in self._groups}
        if not groups:
            self.dropped_unseen[reason] = self.dropped_unseen.get(reason, 0) + stop - start
        if any(groups.values()):
            log.warning("messages dropped", partition=self._name, reason=reason, groups=groups)


def file_bytes(policy: Policy, most: int) -> int:
    """The size of a log's files: some of them must fit below what bounds the log, to be let go."""
    bound = policy.retention_bytes if policy.drops else policy.max_partition_bytes
    return min(most, max(bound // FILES_BELOW_BOUND, LEAST_FILE_BYTES)) if bound else most
