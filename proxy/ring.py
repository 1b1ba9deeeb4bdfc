"""Which broker owns which partition: a consistent-hash ring with bounded loads.

Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016). Every broker has
``virtual_nodes`` points on a ring of 64-bit hashes. A partition belongs to the first broker
clockwise from its own hash that does not own ``ceil(1.25 * partitions / brokers)`` partitions of
the topic already. The result depends on the names alone: not on health, order, process or version.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache

import xxhash

LOAD_BOUND = 1.25
CACHED_TOPICS = 4096


class Ring:
    """The placement of partitions on a fixed set of broker names."""

    def __init__(self, names: Sequence[str], virtual_nodes: int) -> None:
        self.names = tuple(sorted(names))
        points = [
            (point(f"{name}#{replica}"), name)
            for name in self.names
            for replica in range(virtual_nodes)
        ]
        points.sort()
        self._hashes = [hashed for hashed, _ in points]
        self._owners = [name for _, name in points]
        self.owners = lru_cache(CACHED_TOPICS)(self._place)

    def order(self, topic: str, partition: int, partitions: int) -> Iterator[str]:
        """The owner of a partition, then the others in the order they stand in for it."""
        owner = self.owners(topic, partitions)[partition]
        yield owner
        yield from (name for name in self._clockwise(topic, partition) if name != owner)

    def _place(self, topic: str, partitions: int) -> tuple[str, ...]:
        bound = math.ceil(LOAD_BOUND * partitions / len(self.names))
        load = dict.fromkeys(self.names, 0)
        placed: list[str] = []
        for partition in range(partitions):
            owner = next(n for n in self._clockwise(topic, partition) if load[n] < bound)
            load[owner] += 1
            placed.append(owner)
        return tuple(placed)

    def _clockwise(self, topic: str, partition: int) -> Iterator[str]:
        """Every broker once, in the order of the ring from the partition's hash on."""
        start = bisect_left(self._hashes, point(f"{topic}/{partition}"))
        seen: set[str] = set()
        for step in range(len(self._owners)):
            name = self._owners[(start + step) % len(self._owners)]
            if name not in seen:
                seen.add(name)
                yield name


def point(text: str) -> int:
    """A place on the ring."""
    return xxhash.xxh3_64_intdigest(text.encode())
