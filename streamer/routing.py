"""Which partition carries a GPU: always the same one, so that its samples stay in order."""

import xxhash


def partition_of(gpu_id: str, partitions: int) -> int:
    """Return ``xxh3_64(gpu_id) % partitions``; the id is hashed as UTF-8."""
    return xxhash.xxh3_64_intdigest(gpu_id.encode()) % partitions
