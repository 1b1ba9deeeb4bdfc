"""Times: kept, present or shifted; and a rate that holds."""

import pytest

from common.models import Sample
from streamer.pacing import Pacer
from streamer.timing import event_time
from tests.streamer.fakes import WALL, FakeClock, sample

NOW = int(WALL * 1000)


def old(*seconds: int, gpu: str = "a") -> list[Sample]:
    return [sample(gpu, second - 1000) for second in seconds]


def test_keep_leaves_times_alone() -> None:
    samples = old(0, 5)
    event_time("keep", FakeClock()).apply(samples, 0)
    assert samples == old(0, 5)


def test_now_gives_no_gpu_the_same_moment_twice() -> None:
    samples = [*old(0, 1), *old(0, gpu="b")]
    event_time("now", FakeClock()).apply(samples, 0)
    assert [s.timestamp for s in samples] == [NOW, NOW + 1, NOW]


def test_shift_keeps_the_spacing_and_puts_each_pass_behind_the_one_before() -> None:
    timing, times = event_time("shift", FakeClock()), []
    for _ in range(2):
        timing.begin_pass()
        samples = old(0, 60)
        timing.apply(samples[:1], 0)
        timing.apply(samples[1:], 1)
        times.append([s.timestamp - NOW for s in samples])
    assert times == [[0, 60_000], [61_000, 121_000]]


def many(count: int, **metrics: float) -> list[Sample]:
    return [sample("a", number, **metrics) for number in range(count)]


async def test_a_rate_is_held_whatever_the_chunks() -> None:
    clock = FakeClock()
    clock.now = 30.0  # what passed before the first sample is not made up for
    pacer, passed = Pacer(1000.0, clock), 0
    for size in (1, 7, 999, 2500, 1493):
        for some in pacer.slices(many(size)):
            await clock.sleep(pacer.delay_seconds(some))
            passed += len(some)
    assert passed == 5000
    assert 34.9 <= clock.now <= 35.0


async def test_a_late_wake_up_does_not_add_up() -> None:
    clock = FakeClock()
    pacer = Pacer(1000.0, clock)
    for some in pacer.slices(many(10_000)):
        await clock.sleep(pacer.delay_seconds(some))
        clock.now += 0.004  # as if each sleep took longer than asked
    assert 9.9 <= clock.now <= 10.01


async def test_a_delay_is_of_rows_and_a_sample_takes_as_many() -> None:
    clock = FakeClock()
    pacer = Pacer(1000 / 20, clock, by_row=True)
    for some in pacer.slices(many(50, power=1.0, util=2.0)):
        await clock.sleep(pacer.delay_seconds(some))
    assert clock.now == pytest.approx(100 * 0.020 - 4 * 0.020)  # the last two wait for nobody


async def test_no_rate_waits_for_nothing() -> None:
    clock = FakeClock()
    pacer = Pacer(0.0, clock)
    samples = many(3000)
    assert [len(some) for some in pacer.slices(samples)] == [3000]
    assert pacer.delay_seconds(samples) == 0


@pytest.mark.parametrize("mode", ["now", "shift"])
@pytest.mark.parametrize("cut", range(6))
def test_a_sample_sent_again_has_the_time_it_had(mode: str, cut: int) -> None:
    """Times until a crash, then from a place before it on, with what was noted."""
    clock = FakeClock()
    first = event_time(mode, clock)
    first.begin_pass()
    given, notes, state = [], [], first.state()
    for at in range(0, 6, 2):
        if at <= cut:
            state = first.state()
            place = at
        samples = old(at, at, gpu="a")
        note = first.apply(samples, at)
        notes += [note] if note else []
        given += [each.timestamp for each in samples]
        clock.now += 0.5
    second = event_time(mode, clock)
    second.resume(state, [note for note in notes if note.first >= place])
    again = [each for at in range(place, 6, 2) for each in old(at, at, gpu="a")]
    assert second.apply(again[:3], place) is None
    assert second.apply(again[3:], place + 3) is None
    assert [each.timestamp for each in again] == given[place:]
    assert second.settled
