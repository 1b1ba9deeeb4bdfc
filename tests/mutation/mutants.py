"""Defects that somebody could make in the log, the leases and the ring, one at a time."""

from typing import NamedTuple

LOG = ("tests/journal", "tests/broker/test_partition.py", "tests/broker/test_golden.py")
LEASES = (
    "tests/broker/test_ranges.py",
    "tests/broker/test_pace.py",
    "tests/broker/test_group.py",
    "tests/broker/test_nack.py",
    "tests/broker/test_times.py",
    "tests/broker/test_consume.py",
    "tests/broker/test_model.py",
)
_RINGS = "tests/proxy/test_ring.py"
RING = (f"{_RINGS}::test_placements_are_those_of_the_golden_file", _RINGS)  # the quick one first


class Mutant(NamedTuple):
    """One place in one file made wrong; some of ``tests`` must fail."""

    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]


_JOURNAL = "common/journal/journal.py"
_FRAME = "common/journal/frame.py"
_SEGMENT = "common/journal/segment.py"
_RECOVERY = "common/journal/recovery.py"
_POSITION = "common/journal/position.py"
_FILES = "common/journal/files.py"
_LEASE = "broker/lease.py"
_RANGES = "broker/ranges.py"
_GROUP = "broker/group.py"
_PACE = "broker/pace.py"
_PROGRESS = "broker/progress.py"
_RETURNS = "broker/returns.py"
_RING = "proxy/ring.py"
_PLACEMENT = "proxy/placement.py"

MUTANTS = (
    Mutant(
        _JOURNAL,
        "        if sync:\n            self._sync(file)",
        "        if sync and len(records) > 1:\n            self._sync(file)",
        LOG,
    ),
    Mutant(_JOURNAL, "            self._undo(file, last.size)\n", "", LOG),
    Mutant(
        _JOURNAL,
        '            self.read_only = f"fsync failed: {error.strerror}"\n',
        '            self.read_only = ""\n',
        LOG,
    ),
    Mutant(
        _JOURNAL,
        "            self._files.sync_directory(self.directory)\n",
        "            pass\n",
        LOG,
    ),
    Mutant(
        _JOURNAL,
        "        if self._file is not None:\n            self._sync(self._file)\n        base",
        "        base",
        LOG,
    ),
    Mutant(
        _JOURNAL,
        "sum(part.end <= before for part in self._segments[:-1])",
        "sum(part.base <= before for part in self._segments[:-1])",
        LOG,
    ),
    Mutant(
        _JOURNAL,
        "sum(part.end <= before for part in self._segments[:-1])",
        "sum(part.end <= before for part in self._segments)",
        LOG,
    ),
    Mutant(
        _JOURNAL,
        "                offset = record.end  # a frame that was copied in twice is served once\n",
        "",
        LOG,
    ),
    Mutant(
        _JOURNAL,
        "last.size + adding <= self.segment_bytes",
        "last.size <= self.segment_bytes",
        LOG,
    ),
    Mutant(_JOURNAL, "            file.close()\n            self._files.remove(path)\n", "", LOG),
    Mutant(
        _FRAME,
        "    if checksum(salt, head, meta, body) !=",
        "    if checksum(salt, head, meta, b'') !=",
        LOG,
    ),
    Mutant(
        _FRAME,
        "    crc = google_crc32c.extend(salt, head + meta)",
        "    crc = google_crc32c.extend(0, head + meta)",
        LOG,
    ),
    Mutant(_FRAME, " or length > MAX_LENGTH", "", LOG),
    Mutant(
        _FRAME,
        "            if decode(buffer, position, salt).offset >= least_offset:\n",
        "            if decode(buffer, position, salt):\n",
        LOG,
    ),
    Mutant(_SEGMENT, "found_base != base or found_owner", "found_owner", LOG),
    Mutant(_SEGMENT, " or found_owner != owner_digest(owner)", "", LOG),
    Mutant(
        _SEGMENT,
        "bisect_right(self._offsets, offset) - 1",
        "bisect_right(self._offsets, offset)",
        LOG,
    ),
    Mutant(_RECOVERY, "        file.truncate(position)\n", "", LOG),
    Mutant(_RECOVERY, "        part.end = following.base\n", "        pass\n", LOG),
    Mutant(_POSITION, "        file.sync()\n", "", LOG),
    Mutant(_POSITION, "    if check != b", "    if document and not check != b", LOG),
    Mutant(_FILES, "                buffers = drop(buffers, written)", "                pass", LOG),
    Mutant(
        _LEASE,
        "self._by_deadline[0][0] <= now",
        "self._by_deadline[0][0] < now - 1",
        LEASES,
    ),
    Mutant(
        _LEASE,
        "        self._by_deadline.discard((lease.deadline, lease.delivery))\n        lease.deadline",
        "        lease.deadline",
        LEASES,
    ),
    Mutant(
        _LEASE,
        "        lease.holder.released(count)\n        return spans\n\n    def cut",
        "        return spans\n\n    def cut",
        LEASES,
    ),
    Mutant(
        _LEASE,
        "        self.messages -= count\n        if lease.settled:\n            self._close(lease)\n        lease.holder.released(count)\n        return spans\n\n    def cut",
        "        if lease.settled:\n            self._close(lease)\n        lease.holder.released(count)\n        return spans\n\n    def cut",
        LEASES,
    ),
    Mutant(
        _RANGES,
        "last = bisect_right(self._starts, stop)\n        if",
        "last = bisect_left(self._starts, stop)\n        if",
        LEASES,
    ),
    Mutant(_RANGES, "self._starts[found] <= start:", "self._starts[found] < start:", LEASES),
    Mutant(
        _GROUP,
        "self._returns.add(spans, lease.attempt - 1)",
        "self._returns.add(spans, lease.attempt)",
        LEASES,
    ),
    Mutant(_GROUP, "min(now + seconds, longest)", "now + seconds", LEASES),
    Mutant(
        _GROUP,
        "        elif lease.attempt >= self.rules.max_deliveries:",
        "        elif lease.attempt > self.rules.max_deliveries:",
        LEASES,
    ),
    Mutant(
        _GROUP,
        '        if lease.attempt >= self.rules.max_deliveries:\n            self._doom(spans, lease.attempt, DELIVERY_LIMIT, "never',
        '        if lease.attempt > self.rules.max_deliveries:\n            self._doom(spans, lease.attempt, DELIVERY_LIMIT, "never',
        LEASES,
    ),
    Mutant(_GROUP, "            lease.holder.ran_out()\n", "", LEASES),
    Mutant(_PACE, "waited - self._own < left", "waited - self._own < 2 * left", LEASES),
    Mutant(_PACE, "        self._own = math.inf\n\n    def answered", "\n    def answered", LEASES),
    Mutant(_PACE, "return 0 if crumb else room", "return room", LEASES),
    Mutant(
        _PROGRESS,
        "self.acked = Ranges(acked.overlap(self.floor, end))",
        "self.acked = Ranges()",
        LEASES,
    ),
    Mutant(_PROGRESS, "min(max(floor, first), end)", "max(floor, first)", LEASES),
    Mutant(_RETURNS, "self._delayed[0][0] <= now", "self._delayed", LEASES),
    Mutant(_RING, "        first = bisect_left(self._hashes, begin)", "        first = 0", RING),
    Mutant(_RING, "sorted(names, key=by_number)", "names", RING),
    Mutant(
        _RING,
        "    return xxhash.xxh3_64_intdigest(text.encode())",
        "    return hash(text) % RING_SIZE",
        RING,
    ),
    Mutant(_RING, "int(part), part) if part.isdigit()", "0, part) if part.isdigit()", RING),
    Mutant(_PLACEMENT, " and room[broker]:", ":", RING),
    Mutant(_PLACEMENT, "LOAD_BOUND = 1.25", "LOAD_BOUND = 1.5", RING),
    Mutant(_PLACEMENT, "MOVES_BEYOND_SHARE = 0.10", "MOVES_BEYOND_SHARE = 0.5", RING),
    Mutant(_PLACEMENT, "    unload(owners, room)\n", "", RING),
)
