"""The ring: balanced, stable, the same everywhere."""

import functools
import json
import math
import random
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import xxhash

from common.wire import partition_for
from proxy.placement import nearest
from proxy.ring import Ring

GOLDEN = Path(__file__).with_name("placements.json")
KEYS_GOLDEN = Path(__file__).with_name("keys.json")
VIRTUAL_NODES = 150
FEW_COUNTS = (1, 2, 3, 5, 8, 16, 33, 64, 100, 256)
MANY_TOPICS = [f"topic-{n}" for n in range(10)]
TOPICS = ("telemetry", "orders", "a.b-c_d")
RINGS = {
    count: Ring([f"broker-{n}" for n in range(count)], VIRTUAL_NODES) for count in range(1, 22)
}


def placements() -> dict[str, tuple[str, ...]]:
    """What the golden file holds."""
    return {
        f"{brokers} brokers, {topic}, {partitions}": RINGS[brokers].owners(topic, partitions)
        for brokers in (1, 2, 3, 5)
        for topic in TOPICS
        for partitions in (1, 4, 16, 64)
    }


@functools.cache
def owners(brokers: int, topic: str, partitions: int) -> tuple[str, ...]:
    """Of each partition, kept: the next number of brokers is compared with it."""
    return RINGS[brokers].owners(topic, partitions)


def overloaded(brokers: int, topic: str, partitions: int) -> bool:
    load = Counter(owners(brokers, topic, partitions))
    return max(load.values()) > math.ceil(1.25 * partitions / brokers)


def moved(brokers: int, topic: str, partitions: int) -> int:
    """Partitions of a topic that one more broker moves."""
    before, after = (owners(count, topic, partitions) for count in (brokers, brokers + 1))
    return sum(old != new for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize("brokers", range(1, 21))
def test_no_broker_owns_more_than_its_share_and_a_quarter(brokers: int) -> None:
    every = [("telemetry", partitions) for partitions in (*range(1, 65), *range(65, 257, 5))]
    some = [(topic, partitions) for topic in MANY_TOPICS for partitions in FEW_COUNTS]
    assert not [case for case in every + some if overloaded(brokers, *case)]


@pytest.mark.parametrize("brokers", range(1, 21))
def test_one_more_broker_moves_at_most_its_share_and_a_tenth(brokers: int) -> None:
    every = [("telemetry", partitions) for partitions in range(65, 257, 5)]
    some = [(topic, partitions) for topic in MANY_TOPICS for partitions in (64, 65, 71, 96, 256)]
    many = [(f"many-{n}", 64) for n in range(100)]
    assert not [
        (topic, partitions)
        for topic, partitions in every + some + many
        if moved(brokers, topic, partitions) > partitions / (brokers + 1) + 0.10 * partitions
    ]


def test_the_bound_on_moves_is_put_to_the_test() -> None:
    """Among the cases above are some that the nearest-first rule alone would break."""
    near = [
        sorted(one for n in range(64) for one in RINGS[21]._clockwise(f"many-{k}", n))
        for k in range(100)
    ]
    broken = 0
    for pairs in near:
        steps = [nearest(pairs, brokers, 64) for brokers in range(1, 22)]
        for brokers, (old, new) in enumerate(pairwise(steps), start=2):
            moves = sum(a != b for a, b in zip(old, new, strict=True))
            broken += moves > 64 / brokers + 6.4
    assert broken > 5


def test_a_broker_that_joins_anywhere_in_the_list_moves_little_more() -> None:
    names = [f"rack-{n * 37 % 101}" for n in range(12)]
    for topic in MANY_TOPICS:
        after = Ring(names, VIRTUAL_NODES).owners(topic, 128)
        for gone in names:
            before = Ring([n for n in names if n != gone], VIRTUAL_NODES).owners(topic, 128)
            moves = sum(old != new for old, new in zip(before, after, strict=True))
            assert moves <= 128 / 12 + 0.20 * 128


def test_numbers_count_as_numbers() -> None:
    assert RINGS[12].names[1:3] == ("broker-1", "broker-2")
    assert RINGS[12].names[-1] == "broker-11"


def test_a_ring_without_brokers_owns_nothing() -> None:
    assert Ring([], VIRTUAL_NODES).owners("t", 4) == ()
    assert not list(Ring([], VIRTUAL_NODES).order("t", 1, 4))


def test_the_order_of_names_does_not_matter() -> None:
    for seed in range(3):
        names = random.Random(seed).sample(RINGS[12].names, 12)
        shuffled = Ring(names, VIRTUAL_NODES)
        assert shuffled.names == RINGS[12].names
        assert shuffled.owners("t", 128) == RINGS[12].owners("t", 128)


@pytest.mark.parametrize("brokers", [1, 2, 7, 20])
def test_the_order_lists_every_broker_once_and_the_owner_first(brokers: int) -> None:
    ring = RINGS[brokers]
    for partition in range(64):
        order = list(ring.order("telemetry", partition, 64))
        assert order[0] == ring.owners("telemetry", 64)[partition]
        assert sorted(order) == sorted(ring.names)


def test_placements_are_those_of_the_golden_file() -> None:
    golden = {key: tuple(placed) for key, placed in json.loads(GOLDEN.read_text()).items()}
    assert placements() == golden


def routes_of_many_keys() -> str:
    """One digest of where 100,000 keys go among five brokers."""
    placed = owners(5, "telemetry", 64)
    text = ",".join(placed[partition_for(f"gpu-{n}", 64)] for n in range(100_000))
    return xxhash.xxh3_128_hexdigest(text.encode())


def test_a_hundred_thousand_keys_go_where_they_always_went() -> None:
    assert routes_of_many_keys() == json.loads(KEYS_GOLDEN.read_text())


@pytest.mark.parametrize("seed", ["0", "1234"])
def test_another_process_places_equally(seed: str) -> None:
    code = (
        "import json, tests.proxy.test_ring as it; "
        "print(json.dumps([it.placements(), it.routes_of_many_keys()]))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=60,
        check=True,
    ).stdout
    golden = [json.loads(GOLDEN.read_text()), json.loads(KEYS_GOLDEN.read_text())]
    assert json.loads(printed) == golden
