"""Standard input: read as it comes, once."""

import asyncio
import gzip
import os
import time
from collections.abc import Iterator

import pytest

from common.models import Sample
from streamer.sources.base import SourceError
from streamer.sources.csv_stdin import CsvStdin
from streamer.sources.layout import CsvSettings
from tests.streamer.fakes import WALL, FakeClock

LIMIT_SECONDS = 20


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def stdin(reading: int) -> CsvStdin:
    return CsvStdin(CsvSettings(), FakeClock(), reading)


async def next_samples(source: CsvStdin) -> list[Sample]:
    async with asyncio.timeout(LIMIT_SECONDS):
        samples: list[Sample] = []
        while not samples:
            chunk = await source.read()
            assert chunk is not None
            samples = chunk
        return samples


async def test_rows_come_as_they_are_written(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    source = stdin(reading)
    await source.open()
    os.write(writing, b"gpu_id,temperature\n0,5")
    waiting = asyncio.create_task(next_samples(source))
    os.write(writing, b"0\n1,51\n")
    first = await waiting
    assert (first[0].gpu.id, first[0].timestamp) == ("stdin-0", int(WALL) * 1000)
    os.write(writing, b"2,52\n3,53")
    os.close(writing)
    rest = []
    while (chunk := await source.read()) is not None:
        rest += chunk
    found = [int(s.metrics["DCGM_FI_DEV_GPU_TEMP"]) for s in first + rest]
    assert found == [50, 51, 52, 53]
    assert len({sample.timestamp for sample in first + rest}) == 4
    await source.close()


async def test_gzip_comes_over_a_pipe_too(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, gzip.compress(b"gpu_id,temperature\n0,50\n"))
    os.close(writing)
    source = stdin(reading)
    await source.open()
    assert len(await next_samples(source)) == 1
    await source.close()


async def test_it_can_neither_go_on_nor_be_read_twice(pipe: tuple[int, int]) -> None:
    source = stdin(pipe[0])
    os.close(pipe[1])
    assert source.mark() is None
    with pytest.raises(SourceError, match="twice"):
        await source.rewind()
    with pytest.raises(SourceError, match="go on"):
        await source.resume({})
    with pytest.raises(SourceError, match="standard input: the file is empty"):
        await source.read()
    await source.close()


async def test_a_silent_writer_does_not_hold_up_a_stop(pipe: tuple[int, int]) -> None:
    source = stdin(pipe[0])
    waiting = asyncio.create_task(source.read())
    await asyncio.sleep(0)
    await source.close()
    async with asyncio.timeout(LIMIT_SECONDS):
        with pytest.raises(SourceError):
            await waiting
    os.close(pipe[1])


async def test_what_was_read_is_left_at_a_stop_and_half_a_line_is_not(
    pipe: tuple[int, int],
) -> None:
    reading, writing = pipe
    source = stdin(reading)
    await source.open()
    rows = ["2025-07-18T20:42:34Z,power,0,120", "2025-07-18T20:42:34Z,util,0,9"]
    os.write(writing, "\n".join(["timestamp,metric_name,gpu_id,value", *rows]).encode())
    async with asyncio.timeout(LIMIT_SECONDS):
        while source.progress.rows_read == 0:
            assert await source.read() == []  # the row is of a moment that may go on
        waiting = asyncio.create_task(source.read())
        [sample] = await source.leftover()
        assert await waiting in ([], None)
    assert sample.metrics == {"power": 120.0}
    await source.close()
    os.close(writing)


async def test_a_chunk_that_nobody_took_is_left_at_a_stop(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    source = stdin(reading)
    await source.open()
    os.write(writing, b"gpu_id,temperature\n0,50\n1,51\n")
    waiting = asyncio.create_task(source.read())
    await asyncio.sleep(0)
    deadline = time.monotonic() + LIMIT_SECONDS
    while source.progress.rows_read < 2:  # the loop must not hear of the chunk
        assert time.monotonic() < deadline
    waiting.cancel()
    async with asyncio.timeout(LIMIT_SECONDS):
        assert [s.gpu.id for s in await source.leftover()] == ["stdin-0", "stdin-1"]
    await source.close()
    os.close(writing)
