"""The ring: balanced, stable, the same everywhere."""

import json
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import fmean

import pytest

from proxy.ring import Ring

GOLDEN = Path(__file__).with_name("placements.json")
VIRTUAL_NODES = 150
PARTITIONS = (1, 2, 3, 5, 8, 16, 33, 64, 100, 128, 200, 256)
MANY_TOPICS = [f"topic-{n}" for n in range(20)]
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


@pytest.mark.parametrize("brokers", range(1, 21))
def test_no_broker_owns_more_than_its_share_and_a_quarter(brokers: int) -> None:
    for partitions in PARTITIONS:
        for topic in TOPICS:
            load = Counter(RINGS[brokers].owners(topic, partitions))
            assert max(load.values()) <= math.ceil(1.25 * partitions / brokers)


def moved(brokers: int, topic: str, partitions: int) -> float:
    """The part of a topic's partitions that one more broker moves."""
    before = RINGS[brokers].owners(topic, partitions)
    after = RINGS[brokers + 1].owners(topic, partitions)
    return sum(old != new for old, new in zip(before, after, strict=True)) / partitions


@pytest.mark.parametrize("brokers", range(1, 21))
def test_one_more_broker_moves_about_its_share(brokers: int) -> None:
    share = 1 / (brokers + 1)
    assert max(moved(brokers, topic, 256) for topic in MANY_TOPICS) <= share + 0.10
    few = [moved(brokers, topic, 64) for topic in MANY_TOPICS]
    assert fmean(few) <= share + 0.10
    assert max(few) <= share + 0.20


def test_the_order_of_names_does_not_matter() -> None:
    names = ["c", "a", "b"]
    assert Ring(names, 150).owners("t", 64) == Ring(sorted(names), 150).owners("t", 64)


@pytest.mark.parametrize("brokers", [1, 2, 7, 20])
def test_the_order_lists_every_broker_once_and_the_owner_first(brokers: int) -> None:
    ring = RINGS[brokers]
    for partition in range(64):
        order = list(ring.order("telemetry", partition, 64))
        assert order[0] == ring.owners("telemetry", 64)[partition]
        assert sorted(order) == list(ring.names)


def test_placements_are_those_of_the_golden_file() -> None:
    golden = {key: tuple(owners) for key, owners in json.loads(GOLDEN.read_text()).items()}
    assert placements() == golden


@pytest.mark.parametrize("seed", ["0", "1234"])
def test_another_process_places_equally(seed: str) -> None:
    code = "import json, tests.proxy.test_ring as it; print(json.dumps(it.placements()))"
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=60,
        check=True,
    ).stdout
    assert json.loads(printed) == json.loads(GOLDEN.read_text())
