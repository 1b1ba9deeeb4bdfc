"""A reader that is slower than its leases allow."""

from pathlib import Path

from broker.pace import Pace
from tests.broker.test_group import TIMEOUT, Holder, new_group
from tests.support.broker import running_broker
from tests.support.clock import ManualClock

MESSAGES, BATCH = 200, 5
WORK_SECONDS = 3.0


async def test_a_reader_slower_than_its_window_allows_settles_everything(tmp_path: Path) -> None:
    """Twenty deliveries wait at its side, and a lease lasts for the work of ten."""
    clock = ManualClock()
    async with running_broker(tmp_path, clock, visibility_timeout_seconds=30.0) as running:
        client = running.client
        await client.produce_lines("t", *[b"%d" % n for n in range(MESSAGES)], partition=0)
        acked = deliveries = 0
        async with client.consume("t", batch=BATCH, max_in_flight=MESSAGES // 2) as events:
            while acked < MESSAGES and deliveries < 2 * MESSAGES // BATCH:
                head, _ = await events.batch()
                clock.advance(WORK_SECONDS)
                answer = await client.settle("t", head["receipt"])
                acked += answer.json["acked"] if answer.status == 200 else 0
                deliveries += 1
        books = await client.books("t")
    assert (acked, books["dead"]) == (MESSAGES, 0)


async def test_what_a_stream_is_trusted_with_is_shown(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path, clock, visibility_timeout_seconds=30.0) as running:
        client = running.client
        await client.produce_lines("t", b"0", b"1", partition=0)
        async with client.consume("t", batch=1, max_in_flight=100) as events:
            await events.batch()
            await events.batch()
            clock.advance(31.0)
            await events.batch()
            (member,) = (await client.books("t"))["members"]
            assert member["max_in_flight"] == 25


def test_each_lease_that_runs_out_halves_the_pace_and_one_message_is_left() -> None:
    pace = Pace(1000)
    pace.ran_out()
    assert pace.messages == 500
    for _ in range(20):
        pace.ran_out()
    assert pace.messages == pace.room(0, 100) == 1


def test_what_is_answered_lets_it_grow_to_what_was_asked_for() -> None:
    pace = Pace(100)
    pace.ran_out()
    pace.answered(20, waited=1.0, left=29.0)
    assert pace.messages == 60
    pace.answered(1000, waited=1.0, left=29.0)
    assert pace.messages == 100


def test_what_waited_long_at_the_side_of_a_reader_is_no_reason_to_send_more() -> None:
    pace = Pace(100)
    pace.ran_out()
    pace.answered(2, waited=1.0, left=29.0)
    pace.answered(2, waited=15.0, left=15.0)
    pace.answered(2, waited=16.0, left=14.0)
    assert pace.messages == 52


def test_a_reader_that_always_takes_long_is_not_held_down() -> None:
    pace = Pace(100)
    pace.answered(2, waited=1.0, left=29.0)
    pace.ran_out()
    pace.answered(20, waited=25.0, left=5.0)
    pace.answered(20, waited=27.0, left=3.0)
    assert pace.messages == 70


def test_a_reader_that_was_slow_gets_no_crumbs() -> None:
    pace = Pace(100)
    assert pace.room(in_flight=99, batch=20) == 1
    pace.ran_out()
    assert pace.room(in_flight=49, batch=20) == 0
    assert pace.room(in_flight=30, batch=20) == 20
    assert pace.room(in_flight=0, batch=100) == 50
    assert pace.room(in_flight=80, batch=20) == 0


def test_the_holder_hears_when_it_answered_and_what_ran_out() -> None:
    group, holder = new_group(), Holder()
    first = group.take(2, 3, 0.0, TIMEOUT, holder)
    assert first is not None
    group.settle(first.delivery, 0, 1, 4.0)
    assert group.take(1, 3, 4.0, TIMEOUT, holder)
    group.expire(4.0 + TIMEOUT)
    assert (holder.answers, holder.late) == ([(2, 4.0, TIMEOUT - 4.0)], 1)
