"""Which broker owns which partition: a consistent-hash ring with bounded loads.

Every broker has ``virtual_nodes`` points on a ring of 64-bit hashes; a partition is near to the
brokers whose points follow its own hash. Who gets what within the bounds is ``proxy.placement``.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache

import xxhash

from proxy.placement import Near, place

RING_SIZE = 1 << 64
CACHED_TOPICS = 4096
CACHED_PARTITIONS = 65_536

_NUMBER = re.compile(r"(\d+)")


class Ring:
    """The placement of partitions on a fixed set of broker names.

    It depends on the names alone: not on health, order, process or version.
    """

    def __init__(self, names: Sequence[str], virtual_nodes: int) -> None:
        self.names = tuple(sorted(names, key=by_number))
        points = sorted(
            (point(f"{name}#{replica}"), number)
            for number, name in enumerate(self.names)
            for replica in range(virtual_nodes)
        )
        self._hashes = [hashed for hashed, _ in points]
        self._brokers = [number for _, number in points]
        self.owners = lru_cache(CACHED_TOPICS)(self._place)
        self.order = lru_cache(CACHED_PARTITIONS)(self._order)

    def _order(self, topic: str, partition: int, partitions: int) -> tuple[str, ...]:
        """The owner of a partition, then the others in the order they stand in for it."""
        if not self.names:
            return ()
        owner = self.owners(topic, partitions)[partition]
        around = [self.names[near.broker] for near in self._clockwise(topic, partition)]
        return owner, *(name for name in around if name != owner)

    def _place(self, topic: str, partitions: int) -> tuple[str, ...]:
        near = [one for number in range(partitions) for one in self._clockwise(topic, number)]
        owners = place(sorted(near), len(self.names), partitions) if near else []
        return tuple(self.names[owner] for owner in owners)

    def _clockwise(self, topic: str, partition: int) -> Iterator[Near]:
        """Every broker once, in the order of the ring from the partition's hash on."""
        begin = point(f"{topic}/{partition}")
        first = bisect_left(self._hashes, begin)
        seen: set[int] = set()
        for step in range(first, first + len(self._hashes)):
            at = step % len(self._hashes)
            broker = self._brokers[at]
            if broker not in seen:
                seen.add(broker)
                yield Near((self._hashes[at] - begin) % RING_SIZE, partition, broker)
            if len(seen) == len(self.names):
                return


def point(text: str) -> int:
    """A place on the ring."""
    return xxhash.xxh3_64_intdigest(text.encode())


def by_number(name: str) -> list[tuple[int, str]]:
    """Sorts ``broker-10`` after ``broker-9``: a replica that joins comes last."""
    parts = _NUMBER.split(name)
    return [(int(part), part) if part.isdigit() else (-1, part) for part in parts]
