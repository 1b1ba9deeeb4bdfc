"""Acks on their way: together, again while a broker is away, dropped when stale."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from collector.acker import Acker
from common.errors import BrokerUnreachable, InvalidRequest, NotFound
from common.lifecycle import Lifecycle
from tests.collector.fakes import FakeQueue, HastyClock
from tests.support.clock import ManualClock
from tests.support.proxy import until

AWAY = "BROKER_UNREACHABLE"


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
async def acker(queue: FakeQueue) -> AsyncIterator[Acker]:
    acker, lifecycle = Acker(queue, HastyClock()), Lifecycle()
    lifecycle.spawn("ack", acker.run())
    lifecycle.spawn("again", acker.run_postponed())
    yield acker
    assert not lifecycle.problems
    await lifecycle.cancel_tasks()


async def test_what_came_meanwhile_goes_in_one_request(acker: Acker, queue: FakeQueue) -> None:
    for receipt in "abc":
        acker.add([receipt])
    await until(lambda: len(queue.acked) == 3)
    assert queue.events == [("ack", ["a", "b", "c"])]


async def test_a_queue_that_is_away_is_asked_again(acker: Acker, queue: FakeQueue) -> None:
    queue.failures = [BrokerUnreachable("away")] * 5
    acker.add(["a", "b"])
    await until(lambda: sorted(queue.acked) == ["a", "b"])
    assert len(queue.events) == 6
    assert acker.refused == 0


async def test_only_what_an_absent_broker_gave_is_shown_again(
    acker: Acker, queue: FakeQueue
) -> None:
    queue.refused = {"a": AWAY, "s": "STALE", "u": "UNKNOWN_BROKER"}
    acker.add(["a", "s", "u", "x"])
    await until(lambda: len(queue.events) > 3)
    assert queue.events[0] == ("ack", ["a", "s", "u", "x"])
    assert {tuple(given) for _, given in queue.events[1:]} == {("a",)}
    queue.refused = {}
    await until(lambda: queue.acked == ["x", "a"])
    assert acker.refused == 2


@pytest.mark.parametrize("error", [InvalidRequest("no"), NotFound("no")])
async def test_what_is_refused_for_good_is_dropped(
    acker: Acker, queue: FakeQueue, error: Exception
) -> None:
    queue.failures = [error]  # type: ignore[list-item]
    acker.add(["a", "b"])
    await until(lambda: acker.refused == 2)
    acker.add(["c"])
    await until(lambda: queue.acked == ["c"])


async def test_an_absent_broker_does_not_delay_the_acks_for_others(queue: FakeQueue) -> None:
    acker = Acker(queue, ManualClock())
    tasks = [asyncio.create_task(work) for work in (acker.run(), acker.run_postponed())]
    queue.refused = {"a": AWAY}
    for receipt in "abcd":
        acker.add([receipt])
        await until(lambda given=receipt: ("ack", [given]) in queue.events)  # type: ignore[misc]
    assert queue.acked == ["b", "c", "d"]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
