"""Whose samples this streamer sends: hosts on a list, and its share among several streamers."""

from collections.abc import Collection, Sequence

import xxhash

from common.models import Gpu, Sample

REMEMBERED = 16_384


class Selection:
    """Keeps samples of the ``hosts`` named (none is all) that fall to one shard of ``count``.

    A host is one shard's alone, so that streamers with the same source and other shards send each
    sample once between them. A GPU without a host name goes by its id.
    """

    def __init__(self, hosts: Collection[str] = (), index: int = 0, count: int = 1) -> None:
        self.points_left_out = 0
        self._hosts = frozenset(host.casefold() for host in hosts)
        self._index = index
        self._count = count
        self._known: dict[str, bool] = {}

    @property
    def name(self) -> str:
        """A text that differs where the choice does, empty when everything is kept."""
        if not self._hosts and self._count == 1:
            return ""
        listed = xxhash.xxh3_64_hexdigest("\n".join(sorted(self._hosts)).encode())
        return f"{listed}-{self._index}-of-{self._count}"

    def pick(self, samples: list[Sample]) -> list[Sample]:
        """Return the samples that are ours, in order."""
        if not self._hosts and self._count == 1:
            return samples
        ours = [sample for sample in samples if self._is_ours(sample.gpu)]
        if len(ours) < len(samples):
            self.points_left_out += points_of(samples) - points_of(ours)
        return ours

    def _is_ours(self, gpu: Gpu) -> bool:
        key = gpu.hostname or gpu.id
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[key] = self._choose(key.casefold(), bool(gpu.hostname))
        return known

    def _choose(self, key: str, is_host: bool) -> bool:
        if self._hosts and not (is_host and key in self._hosts):
            return False
        return xxhash.xxh3_64_intdigest(key.encode()) % self._count == self._index


def points_of(samples: Sequence[Sample]) -> int:
    """Count the points in samples."""
    return sum([len(sample.metrics) for sample in samples])
