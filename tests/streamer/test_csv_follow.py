"""A file that is followed: nothing twice, nothing left out, whatever becomes of it."""

import asyncio
import gzip
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streamer.sources.base import Mark, SourceError
from streamer.sources.csv_follow import CsvFollow
from streamer.sources.layout import CsvSettings
from tests.streamer.fakes import FakeClock, row, write_file

HEADER = "timestamp, index, temperature.gpu\n"


def log_row(second: int) -> str:
    return f"2020/11/12 13:{second // 60:02d}:{second % 60:02d}.000, 0, {second}\n"


def rows(first: int, end: int) -> str:
    return "".join(log_row(second) for second in range(first, end))


class NothingNew(Exception):
    """A file was looked at as often as it was to be."""


class LookingClock(FakeClock):
    """Waits as often as it is told to; ``None`` is for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: int | None = None

    async def sleep(self, seconds: float) -> None:
        if self.waits is not None:
            if not self.waits:
                raise NothingNew
            self.waits -= 1
        await super().sleep(seconds)


class Followed:
    """A source and all it gave: the values, which are numbers of rows."""

    def __init__(self, found: CsvFollow, clock: LookingClock) -> None:
        self.source = found
        self._clock = clock
        self.values: list[int] = []
        self.marks: list[tuple[int, Mark]] = []

    async def until(self, count: int) -> list[int]:
        async with asyncio.timeout(20):
            while len(self.values) < count:
                for sample in await self.source.read() or []:
                    self.values.append(int(sample.metrics["DCGM_FI_DEV_GPU_TEMP"]))
                mark = self.source.mark()
                assert mark is not None
                self.marks.append((len(self.values), json.loads(json.dumps(mark))))
        return self.values

    async def is_quiet(self) -> None:
        """Nothing more comes, and no look is under way when this returns."""
        self._clock.waits = 20
        with pytest.raises(NothingNew):
            await self.source.read()
        self._clock.waits = None


@asynccontextmanager
async def follow(path: Path, mark: Mark | None = None) -> AsyncIterator[Followed]:
    clock = LookingClock()
    found = CsvFollow(str(path), CsvSettings(), clock)
    try:
        await found.open()
        if mark is not None:
            await found.resume(mark)
        yield Followed(found, clock)
    finally:
        await found.close()


def add(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def rename(path: Path, name: str) -> None:
    path.rename(path.with_name(name))


def write(path: Path, text: str) -> None:
    path.write_text(text)


def write_bytes(path: Path, text: bytes) -> None:
    path.write_bytes(text)


def remove_while_writing(path: Path, text: str) -> None:
    with path.open("a") as writer:
        path.unlink()
        writer.write(text)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "gpu.log"
    path.write_text(HEADER + rows(0, 3))
    return path


async def test_what_is_added_comes_and_half_a_line_waits(log: Path) -> None:
    async with follow(log) as followed:
        assert await followed.until(3) == [0, 1, 2]
        whole = log_row(3)
        add(log, whole[:20])
        await followed.is_quiet()
        add(log, whole[20:] + log_row(4))
        assert await followed.until(5) == [0, 1, 2, 3, 4]
        await followed.is_quiet()


async def test_a_file_that_comes_later_and_grows_slowly_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "late.log"
    async with follow(path) as followed:
        await followed.is_quiet()
        write(path, "")
        await followed.is_quiet()
        add(path, HEADER)
        await followed.is_quiet()
        add(path, rows(0, 2))
        assert await followed.until(2) == [0, 1]


@pytest.mark.parametrize("header", [HEADER, ""])
async def test_rotation_by_rename_reads_the_old_file_to_its_end(log: Path, header: str) -> None:
    async with follow(log) as followed:
        await followed.until(3)
        rename(log, "gpu.log.1")
        write(log, header + rows(5, 7))
        add(log.with_name("gpu.log.1"), log_row(3) + log_row(4).rstrip())
        assert await followed.until(7) == list(range(7))
        add(log, rows(7, 9))
        assert await followed.until(9) == list(range(9))


@pytest.mark.parametrize("header", [HEADER, ""])
@pytest.mark.parametrize("more", [1, 20])
async def test_truncation_begins_anew_however_much_came_since(
    log: Path, header: str, more: int
) -> None:
    async with follow(log) as followed:
        await followed.until(3)
        os.truncate(log, 0)
        add(log, header + rows(3, 3 + more))
        assert await followed.until(3 + more) == list(range(3 + more))


async def test_a_deleted_file_is_read_on_until_another_comes(log: Path) -> None:
    async with follow(log) as followed:
        await followed.until(3)
        remove_while_writing(log, rows(3, 5))
        assert await followed.until(5) == list(range(5))
        await followed.is_quiet()
        write(log, HEADER + rows(5, 6))
        assert await followed.until(6) == list(range(6))


async def test_it_goes_on_from_every_mark(log: Path) -> None:
    async with follow(log) as followed:
        for end in range(4, 9):
            add(log, log_row(end - 1))
            await followed.until(end)
    for count, mark in followed.marks:
        async with follow(log, mark) as again:
            assert await again.until(8 - count) == list(range(count, 8))
            await again.is_quiet()


def moment(second: int) -> str:
    """A second of two GPUs as an exporter dumps it: four rows, two samples."""
    stamp = f"2025-07-18T20:42:{second:02d}Z"
    return "".join(
        row(gpu, metric, str(second), stamp) + "\n"
        for metric in ("power", "util")
        for gpu in ("GPU-a", "GPU-b")
    )


async def seen(source: CsvFollow, count: int) -> list[tuple[str, int]]:
    """So many samples by GPU and second."""
    found: list[tuple[str, int]] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            samples = await source.read() or []
            found += [(each.gpu.uuid, int(each.metrics["power"])) for each in samples]
    return found


async def test_what_was_added_while_it_was_away_comes_behind_what_was_open(tmp_path: Path) -> None:
    log = write_file(tmp_path / "export.csv", moment(0).rstrip("\n"))
    async with follow(log) as followed:
        add(log, moment(1) + moment(2))
        before = await seen(followed.source, 4)
        mark = json.loads(json.dumps(followed.source.mark()))
    add(log, "".join(moment(second) for second in range(3, 10)))
    async with follow(log, mark) as again:
        after = await seen(again.source, 14)
        await again.is_quiet()
    wanted = [(gpu, second) for second in range(9) for gpu in ("GPU-a", "GPU-b")]
    assert sorted(before + after) == sorted(wanted)


async def test_before_the_first_read_a_mark_is_the_beginning(log: Path) -> None:
    async with follow(log) as followed:
        mark = followed.source.mark()
    assert mark
    rename(log, "gpu.log.1")
    write(log, HEADER + rows(3, 4))
    async with follow(log, mark) as again:
        assert await again.until(4) == list(range(4))


@pytest.mark.parametrize("way", ["rename", "copytruncate"])
@pytest.mark.parametrize("rotations", [1, 2])
async def test_a_rotation_while_it_was_away_leaves_nothing_out(
    log: Path, way: str, rotations: int
) -> None:
    async with follow(log) as followed:
        await followed.until(3)
    _, mark = followed.marks[-1]
    end = 3
    for rotation in range(rotations):
        add(log, rows(end, end + 2))
        old = log.with_name(f"gpu.log.{rotations - rotation}")
        if way == "rename":
            rename(log, old.name)
        else:
            shutil.copy2(log, old)
        end += 2
        write(log, HEADER + rows(end, end + 1))
        end += 1
        os.utime(old, ns=(0, 10**18 + rotation))
    async with follow(log, mark) as again:
        assert await again.until(end - 3) == list(range(3, end))
        add(log, log_row(end))
        assert await again.until(end - 2) == list(range(3, end + 1))


async def test_a_mark_of_a_file_that_is_nowhere_is_refused(log: Path) -> None:
    async with follow(log) as followed:
        await followed.until(3)
    write(log, HEADER + rows(10, 20))
    with pytest.raises(SourceError, match=r"gpu\.log"):
        async with follow(log, followed.marks[-1][1]):
            pass


@pytest.mark.parametrize(
    "text", [gzip.compress(b"a,b", mtime=0), (HEADER + rows(0, 3)).encode("utf-16")]
)
async def test_what_cannot_be_followed_is_refused_at_once(log: Path, text: bytes) -> None:
    path = log.with_name("packed.log")
    write_bytes(path, text)
    with pytest.raises(SourceError, match=r"packed\.log"):
        async with follow(path):
            pass
