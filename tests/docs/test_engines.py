"""The table of promises by engine is what the contract's tests show."""

import re
from pathlib import Path

import pytest

from tests.queue.contract import Contract
from tests.queue.engine import Engine
from tests.queue.test_contract_kafka import Kafka
from tests.queue.test_contract_nats import JetStream
from tests.queue.test_contract_own import OwnBrokers
from tests.queue.test_contract_redis import RedisStreams

PAGE = (Path(__file__).parents[2] / "docs/engines.md").read_text()
ENGINES: list[type[Engine]] = [OwnBrokers, RedisStreams, JetStream, Kafka]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if re.match(r"\| P\d", line)
]


def named_in(row: list[str]) -> list[str]:
    return re.findall(r"`(test_\w+)`", row[1])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row[0]))
def test_a_cell_says_no_where_the_engine_does_not_give_it(row: list[str]) -> None:
    assert len(row) == 2 + len(ENGINES)
    assert named_in(row)
    for engine, cell in zip(ENGINES, row[2:], strict=True):
        missing = set(named_in(row)) & engine.not_given.keys()
        assert cell
        assert cell.startswith("no") == bool(missing), f"{engine.__name__}: {cell}"


def test_every_test_of_the_table_is_one_of_the_contract() -> None:
    assert not [name for row in ROWS for name in named_in(row) if not hasattr(Contract, name)]


def test_everything_that_some_engine_does_not_give_has_a_row() -> None:
    told = {name for row in ROWS for name in named_in(row)}
    assert {name for engine in ENGINES for name in engine.not_given} <= told
