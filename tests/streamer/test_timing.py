"""Times: kept, present or shifted; and a rate that holds."""

from common.models import Sample
from streamer.pacing import Pacer
from streamer.timing import event_time
from tests.streamer.fakes import WALL, FakeClock, sample

NOW = int(WALL * 1000)


def old(*seconds: int, gpu: str = "a") -> list[Sample]:
    return [sample(gpu, second - 1000) for second in seconds]


def test_keep_leaves_times_alone() -> None:
    samples = old(0, 5)
    event_time("keep", FakeClock()).apply(samples)
    assert samples == old(0, 5)


def test_now_gives_no_gpu_the_same_moment_twice() -> None:
    samples = [*old(0, 1), *old(0, gpu="b")]
    event_time("now", FakeClock()).apply(samples)
    assert [s.timestamp for s in samples] == [NOW, NOW + 1, NOW]


def test_shift_keeps_the_spacing_and_puts_each_pass_behind_the_one_before() -> None:
    timing, times = event_time("shift", FakeClock()), []
    for _ in range(2):
        timing.begin_pass()
        samples = old(0, 60)
        timing.apply(samples[:1])
        timing.apply(samples[1:])
        times.append([s.timestamp - NOW for s in samples])
    assert times == [[0, 60_000], [61_000, 121_000]]


async def test_a_rate_is_held_whatever_the_chunks() -> None:
    clock = FakeClock()
    pacer, passed = Pacer(1000.0, clock), 0
    for size in (1, 7, 999, 2500, 1493):
        for some in pacer.slices(range(size)):
            await pacer.pass_through(len(some))
            passed += len(some)
    assert passed == 5000
    assert 4.9 <= clock.now <= 5.0


async def test_no_rate_waits_for_nothing() -> None:
    clock = FakeClock()
    pacer = Pacer(0.0, clock)
    assert [len(some) for some in pacer.slices(range(3000))] == [3000]
    await pacer.pass_through(3000)
    assert clock.slept == []
