"""The GPUs of a store in memory, and what can be asked of them all."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import msgspec
from sortedcontainers import SortedDict

from common.models import Gpu
from common.storage.base import (
    GpuFilter,
    GpuRecord,
    HostRecord,
    NamespaceRecord,
    StoreStats,
)
from common.storage.identity import IDENTITY, Identity


class Member(Identity):
    """A GPU with how much is stored of it, and the metrics it ever had."""

    points: int = 0
    samples: int = 0
    metrics: set[str] = msgspec.field(default_factory=set)

    def see(self, gpu: Gpu, at: int) -> None:
        """Take in that the GPU was seen so."""
        self.first = min(self.first, at)
        self.learn(gpu, at)

    def merge(self, other: "Member") -> None:
        """Take in what another account of the same GPU says of who it is, not of its points."""
        self.first = min(self.first, other.first)
        for name in IDENTITY:
            if value := getattr(other.gpu, name):
                self.learn(Gpu(**{name: value}), other.older.get(name, other.last))
        self.metrics |= other.metrics

    def record(self) -> GpuRecord:
        """As a store answers."""
        return GpuRecord(self.id, self.gpu, self.first, self.last, self.points)


class Inventory:
    """All GPUs by id."""

    def __init__(self) -> None:
        self._members: SortedDict[str, Member] = SortedDict()

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def find(self, gpu_id: str) -> Member | None:
        """Return a GPU that is known."""
        found: Member | None = self._members.get(gpu_id)
        return found

    def put(self, member: Member) -> None:
        """Take in a GPU, in place of what was known of it."""
        self._members[member.id] = member

    def see(self, gpu: Gpu, at: int) -> Member:
        """Take in that a GPU was seen so."""
        known = self.find(gpu.id)
        if known is None:
            known = Member(gpu.id, gpu, at, at, {})
            self.put(known)
        known.see(gpu, at)
        return known

    def points(self, gpu_ids: Iterable[str]) -> int:
        """How many points some GPUs have."""
        members = map(self.find, gpu_ids)
        return sum(member.points for member in members if member is not None)

    def gpus(self, which: GpuFilter, limit: int, after: str, offset: int) -> list[GpuRecord]:
        """See `base.Store`."""
        some = self._members.irange(after or None, inclusive=(False, True))
        members = (self._members[gpu_id] for gpu_id in some)
        fitting = (member for member in members if _fits(member.gpu, which))
        return [member.record() for member in islice(fitting, offset, offset + limit)]

    def hosts(self, limit: int, after: str) -> list[HostRecord]:
        """See `base.Store`."""
        groups = self._groups(lambda gpu: gpu.hostname, limit, after)
        return [HostRecord(name, gpus, seen) for name, gpus, seen in groups]

    def namespaces(self, limit: int, after: str) -> list[NamespaceRecord]:
        """See `base.Store`."""
        groups = self._groups(lambda gpu: gpu.namespace, limit, after)
        return [NamespaceRecord(name, gpus, seen) for name, gpus, seen in groups]

    def metrics(self) -> list[str]:
        """The names of all metrics, sorted."""
        return sorted(set[str]().union(*(member.metrics for member in self)))

    def stats(self, oldest_ms: int | None) -> StoreStats:
        """What is stored; ``oldest_ms`` is the time of the oldest point."""
        holding = [member for member in self if member.points]
        return StoreStats(
            gpus=len(self._members),
            hosts=len({member.gpu.hostname for member in self} - {""}),
            metrics=len(self.metrics()),
            points=sum(member.points for member in self),
            samples=sum(member.samples for member in self),
            oldest_ms=oldest_ms,
            newest_ms=max((member.last for member in holding), default=None),
        )

    def _groups(
        self, name_of: Callable[[Gpu], str], limit: int, after: str
    ) -> list[tuple[str, int, int]]:
        """Count GPUs by a name, and when one was last seen; by name, from after one."""
        groups: dict[str, tuple[int, int]] = {}
        for member in self:
            name = name_of(member.gpu)
            if name > after:
                gpus, seen = groups.get(name, (0, 0))
                groups[name] = (gpus + 1, max(seen, member.last))
        return [(name, *groups[name]) for name in sorted(groups)[:limit]]


def _fits(gpu: Gpu, which: GpuFilter) -> bool:
    return (
        which.host in (None, gpu.hostname)
        and which.model in (None, gpu.model)
        and which.namespace in (None, gpu.namespace)
    )
