"""What a consumer of JetStream has in flight, and until when."""

import pytest

from common.queue.jetstream.ledger import Arrived, NatsLedger
from tests.support.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ledger(clock: ManualClock) -> NatsLedger:
    return NatsLedger("t", max_in_flight=10, batch=3, clock=clock)


def came(
    clock: ManualClock, *sequences: int, partition: int = 0, attempt: int = 1
) -> list[Arrived]:
    now = clock.monotonic()
    return [Arrived(partition, each, attempt, f"r{each}", b"%d" % each, now) for each in sequences]


def test_neighbours_of_one_partition_come_together(ledger: NatsLedger, clock: ManualClock) -> None:
    arrived = [*came(clock, 1, 2, 3, 4), *came(clock, 5, partition=1), *came(clock, 7, partition=1)]
    places = [(each.partition, each.offset, len(each.payloads)) for each in ledger.take(arrived)]
    assert places == [(0, 1, 3), (0, 4, 1), (1, 5, 1), (1, 7, 1)]
    assert ledger.room == 4


def test_a_lease_that_ran_out_is_stale_and_leaves_room(
    ledger: NatsLedger, clock: ManualClock
) -> None:
    (delivery,) = ledger.take(came(clock, 1, 2))
    clock.advance(ledger.lease_seconds - 1)
    assert ledger.room == 8
    clock.advance(1)
    settled, messages = ledger.claim([delivery.receipt])
    assert (settled.acked, settled.refused) == (0, {delivery.receipt: "STALE"})
    assert messages == []
    assert ledger.room == 10


def test_the_wall_clock_ends_no_lease(ledger: NatsLedger, clock: ManualClock) -> None:
    (delivery,) = ledger.take(came(clock, 1))
    clock.jump_wall(86_400)
    assert ledger.claim([delivery.receipt])[0].acked == 1


def test_a_lease_that_is_extended_begins_anew(ledger: NatsLedger, clock: ManualClock) -> None:
    kept, dropped = ledger.take([*came(clock, 1), *came(clock, 5)])
    clock.advance(ledger.lease_seconds - 1)
    ledger.extend(ledger.look([kept.receipt])[1])
    clock.advance(ledger.lease_seconds - 1)
    assert ledger.room == 9
    assert ledger.claim([kept.receipt, dropped.receipt])[0].acked == 1


def test_a_message_that_came_again_refuses_its_first_receipt(
    ledger: NatsLedger, clock: ManualClock
) -> None:
    (first,) = ledger.take(came(clock, 1))
    (second,) = ledger.take(came(clock, 1, attempt=2))
    assert second.attempt == 2
    assert ledger.claim([first.receipt])[0].refused == {first.receipt: "STALE"}
    assert ledger.claim([second.receipt])[0].acked == 1
    assert ledger.room == 10


def test_what_waited_for_longer_than_its_lease_is_not_handed_out(
    ledger: NatsLedger, clock: ManualClock
) -> None:
    old = came(clock, 1)
    clock.advance(ledger.lease_seconds)
    (delivery,) = ledger.take([*old, *came(clock, 2)])
    assert delivery.payloads == [b"2"]


def test_part_of_a_delivery_may_be_settled(ledger: NatsLedger, clock: ManualClock) -> None:
    (delivery,) = ledger.take(came(clock, 1, 2, 3))
    first, _, last = delivery.receipts()
    assert [each.sequence for each in ledger.claim([last, first])[1]] == [3, 1]
    settled, messages = ledger.claim([delivery.receipt])
    assert [each.sequence for each in messages] == [2]
    assert (settled.acked, settled.refused) == (1, {delivery.receipt: "STALE"})
