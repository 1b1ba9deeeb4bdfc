"""What a consumer of Kafka has in flight, and what it may commit."""

import random

import pytest

from common.queue.kafka.ledger import KafkaLedger, Message


def messages(partition: int, *offsets: int) -> list[Message]:
    return [(partition, offset, b"%d" % offset) for offset in offsets]


@pytest.fixture
def ledger() -> KafkaLedger:
    found = KafkaLedger("t", max_in_flight=100, batch=10)
    found.assign([0, 1])
    return found


@pytest.mark.parametrize("seed", range(5))
def test_a_partition_is_committed_up_to_the_first_message_that_is_not_acked(
    ledger: KafkaLedger, seed: int
) -> None:
    chance = random.Random(seed)
    offsets = range(5, 45)
    taken = ledger.take(messages(0, *offsets))
    receipts = [receipt for delivery in taken for receipt in delivery.receipts()]
    open_offsets = dict(zip(receipts, offsets, strict=True))
    chance.shuffle(receipts)
    committed = 5
    for receipt in receipts:
        assert ledger.settle([receipt]).acked == 1
        del open_offsets[receipt]
        committed = ledger.to_commit().get(0, committed)
        assert committed == min(open_offsets.values(), default=45)
    assert ledger.to_commit() == {}


def test_a_delivery_has_consecutive_offsets_of_one_partition(ledger: KafkaLedger) -> None:
    came = messages(0, 1, 2, 4) + messages(1, 5, 6)
    places = [(each.partition, each.offset, len(each.payloads)) for each in ledger.take(came)]
    assert places == [(0, 1, 2), (0, 4, 1), (1, 5, 2)]


def test_a_gap_is_committed_over(ledger: KafkaLedger) -> None:
    for delivery in ledger.take(messages(0, 1, 2, 40)):
        ledger.settle([delivery.receipt])
    assert ledger.to_commit() == {0: 41}


def test_what_is_another_groups_is_passed_over_and_committed(ledger: KafkaLedger) -> None:
    first, second = ledger.take([(0, 1, b"a"), (0, 2, None), (0, 3, b"b"), (0, 4, None)])
    assert (first.payloads, second.payloads, second.offset) == ([b"a"], [b"b"], 3)
    ledger.settle([second.receipt])
    assert ledger.to_commit() == {0: 1}
    ledger.settle([first.receipt])
    assert ledger.to_commit() == {0: 5}


def test_a_partition_that_moved_leaves_stale_receipts_and_room(ledger: KafkaLedger) -> None:
    (lost,), (kept,) = ledger.take(messages(0, 1, 2)), ledger.take(messages(1, 1))
    assert ledger.room == 97
    ledger.revoke([0])
    assert ledger.room == 99
    assert not ledger.holds(lost.receipt)
    settled = ledger.settle([lost.receipt, kept.receipt])
    assert (settled.acked, settled.refused) == (1, {lost.receipt: "STALE"})
    assert ledger.to_commit() == {1: 2}


def test_a_partition_that_moves_says_how_far_it_is_settled(ledger: KafkaLedger) -> None:
    first, second = ledger.take(messages(0, 1, 2))[0], ledger.take(messages(0, 3))[0]
    ledger.settle([first.receipt])
    assert ledger.to_commit() == {0: 3}  # on its way, and refused when the group has changed
    assert ledger.revoke([0, 1]) == {0: 3}
    assert ledger.settle([second.receipt]).refused == {second.receipt: "STALE"}


def test_a_partition_that_came_back_refuses_the_receipts_of_before(ledger: KafkaLedger) -> None:
    (before,) = ledger.take(messages(0, 1))
    ledger.revoke([0])
    ledger.assign([0])
    (again,) = ledger.take(messages(0, 1))
    assert ledger.settle([before.receipt]).refused == {before.receipt: "STALE"}
    assert ledger.settle([again.receipt]).acked == 1


def test_a_receipt_of_another_process_is_stale(ledger: KafkaLedger) -> None:
    other = KafkaLedger("t", max_in_flight=100, batch=10)
    other.assign([0])
    (theirs,) = other.take(messages(0, 1))
    ledger.take(messages(0, 1))
    assert ledger.settle([theirs.receipt]).refused == {theirs.receipt: "STALE"}


def test_a_commit_that_failed_is_said_again(ledger: KafkaLedger) -> None:
    (delivery,) = ledger.take(messages(0, 1))
    ledger.settle([delivery.receipt])
    assert ledger.to_commit() == {0: 2}
    assert ledger.to_commit() == {}
    ledger.forget_commit([0, 7])
    assert ledger.to_commit() == {0: 2}
