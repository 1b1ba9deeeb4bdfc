"""The synthetic fleet: believable, repeatable, and readable by our own reader."""

import io
from datetime import UTC, datetime

from streamer.sources.fleet import (
    BUSY_SM_MHZ,
    IDLE_SM_MHZ,
    MEMORY_MIB,
    METRICS,
    Fleet,
    Reading,
)
from streamer.sources.generator import HEADER, LiveFleet, write_csv
from tests.streamer.fakes import WALL, FakeClock
from tests.streamer.reading import read_bytes

START = datetime(2025, 7, 18, 20, 42, 34, tzinfo=UTC)


def generate(gpus: int, seconds: int, seed: int = 1) -> bytes:
    out = io.BytesIO()
    write_csv(out, gpus, seconds, START, seed)
    return out.getvalue()


def test_the_file_reads_back_whole() -> None:
    samples, progress = read_bytes(generate(9, 3))
    assert progress.rows_read == 9 * 3 * 10
    assert progress.rejects.total == progress.duplicates == 0
    assert len(samples) == 27
    assert all(tuple(sample.metrics) == METRICS for sample in samples)
    assert {sample.gpu.hostname for sample in samples} == {"dgx-h100-000", "dgx-h100-001"}
    assert len({sample.gpu.uuid for sample in samples}) == 9


def test_the_order_is_time_then_metric_then_gpu() -> None:
    head, *lines = generate(2, 2).splitlines()
    assert head + b"\n" == HEADER
    keys = [(line[:22], METRICS.index(line.split(b'","')[1].decode())) for line in lines]
    assert keys == sorted(keys)


def test_a_seed_is_a_fleet() -> None:
    assert generate(3, 3, seed=1) == generate(3, 3, seed=1) != generate(3, 3, seed=2)


def readings() -> list[Reading]:
    fleet = Fleet(16, seed=3)
    return [reading for _ in range(600) for reading in fleet.step()]


def test_a_fleet_behaves_like_gpus() -> None:
    seen = readings()
    assert {r.used_mib + r.free_mib for r in seen} == {MEMORY_MIB}
    assert {r.sm_mhz for r in seen} == {IDLE_SM_MHZ, BUSY_SM_MHZ}
    assert all(0 <= r.util_percent <= 100 and 0 <= r.copy_percent <= 100 for r in seen)
    assert all(50 < r.power_watts < 750 and 20 <= r.celsius < 90 for r in seen)


def test_busy_gpus_are_the_hot_ones() -> None:
    seen = readings()
    busy = [r.celsius for r in seen if r.util_percent]
    idle = [r.celsius for r in seen if not r.util_percent]
    assert sum(busy) / len(busy) > sum(idle) / len(idle) + 5


async def test_a_live_fleet_shows_each_second_once_and_makes_up_for_none() -> None:
    clock = FakeClock()
    source = LiveFleet(2, 1, clock)
    await source.open()
    seconds = []
    for delay in (0.0, 0.4, 30.0):
        clock.now += delay
        samples = await source.read() or []
        assert len(samples) == 2
        seconds.append(samples[0].timestamp // 1000 - int(WALL))
    assert seconds == [1, 2, 32]


async def test_no_two_runs_of_a_live_fleet_share_a_name() -> None:
    clock = FakeClock()
    first = await LiveFleet(2, 1, clock).open()
    clock.now += 1
    assert await LiveFleet(2, 1, clock).open() != first
