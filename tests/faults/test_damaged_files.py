"""Damaged data directories: the broker starts, serves the rest, and says what is missing."""

import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.journal import frame, segment
from tests.support.broker import running_broker
from tests.support.client import BrokerClient, payload

COUNT = 60
SMALL: dict[str, Any] = {"segment_bytes": 4096, "queue_size": 1, "partitions_per_topic": 2}

Damage = Callable[[list[Path]], None]


def content(partition: int, number: int) -> bytes:
    """A message like no other, four to a segment."""
    return b"%d-%d " % (partition, number) + b"x" * 1000


async def write_log(data_dir: Path) -> dict[int, list[Path]]:
    """Two partitions of COUNT messages, a group that has acked nothing; the files of each."""
    async with running_broker(data_dir, **SMALL) as broker:
        for partition in (0, 1):
            for number in range(COUNT):
                await broker.client.produce("t", content(partition, number), partition=partition)
        async with broker.client.consume("t", group="g", max_in_flight=1) as events:
            await events.message()
    return {number: files_of(data_dir, number) for number in (0, 1)}


def files_of(data_dir: Path, partition: int) -> list[Path]:
    """The segments of a partition, oldest first."""
    return sorted((data_dir / "topics" / "t" / str(partition)).glob("*.seg"))


def contents(directory: Path) -> list[bytes]:
    """Every file below, byte for byte."""
    return [path.read_bytes() for path in directory.rglob("*") if path.is_file()]


def bases(files: list[Path]) -> list[int]:
    """The first offset in each of these files, and COUNT."""
    return [int(path.stem) for path in files] + [COUNT]


async def read_partition(client: BrokerClient, partition: int) -> list[int]:
    """The numbers of the messages a group gets, each as it was produced, until it has no lag."""
    found: list[int] = []
    async with client.consume("t", group="g", partition=partition) as events:
        while (await client.books("t", partition, "g"))["lag"]:
            message = await events.message()
            assert payload(message) == content(partition, message["offset"])
            await client.settle("t", message["receipt"], group="g")
            found.append(message["offset"])
    return found


async def told(client: BrokerClient, partition: int) -> tuple[int, float, float]:
    """What the books and the metrics say: lost, lost, damaged places."""
    text = (await client.request("GET", "/metrics")).body.decode()
    place = f'partition="{partition}",topic="t"'
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    lost = float(values['messages_lost_total{group="g",' + place + "}"])
    corrupt = float(values["frames_corrupt_total{" + place + "}"])
    return (await client.books("t", partition, "g"))["lost"], lost, corrupt


def remove_first(files: list[Path]) -> None:
    files[0].unlink()


def remove_middle(files: list[Path]) -> None:
    files[3].unlink()


def cut_on_a_boundary(files: list[Path]) -> None:
    size = frame.Record(0, 1, 0, 0, b"", content(0, 0)).size
    with files[3].open("r+b") as file:
        file.truncate(segment.HEADER_BYTES + size)


def cut_in_a_frame(files: list[Path]) -> None:
    with files[3].open("r+b") as file:
        file.truncate(segment.HEADER_BYTES + 1500)


def zero_a_page(files: list[Path]) -> None:
    with files[3].open("r+b") as file:
        file.seek(1024)
        file.write(bytes(1024))


def huge_length(files: list[Path]) -> None:
    with files[3].open("r+b") as file:
        file.seek(segment.HEADER_BYTES + 8)
        file.write(struct.pack("<I", 2**32 - 1))


def garbage_for_a_segment(files: list[Path]) -> None:
    files[3].write_bytes(random.Random(1).randbytes(5000))


def empty_middle(files: list[Path]) -> None:
    files[3].write_bytes(b"")


def copied_under_another_name(files: list[Path]) -> None:
    shutil.copy(files[2], segment.path_of(files[2].parent, int(files[2].stem) + 1))


def copied_over_the_next(files: list[Path]) -> None:
    shutil.copy(files[2], files[3])


def frames_doubled(files: list[Path]) -> None:
    whole = files[3].read_bytes()
    files[3].write_bytes(whole + whole[segment.HEADER_BYTES :])


# What is done to the files of partition 0, and which of its files' messages that costs at most.
DAMAGES: dict[str, tuple[Damage, range]] = {
    damage.__name__: (damage, files)
    for damage, files in [
        (remove_first, range(1)),
        (remove_middle, range(3, 4)),
        (cut_on_a_boundary, range(3, 4)),
        (cut_in_a_frame, range(3, 4)),
        (zero_a_page, range(3, 4)),
        (huge_length, range(3, 4)),
        (garbage_for_a_segment, range(3, 4)),
        (empty_middle, range(3, 4)),
        (copied_under_another_name, range(0)),
        (copied_over_the_next, range(3, 4)),
        (frames_doubled, range(0)),
    ]
}


@pytest.mark.parametrize("name", DAMAGES)
async def test_the_rest_is_served_and_what_is_missing_is_said(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, costs = DAMAGES[name]
    files = (await write_log(tmp_path))[0]
    starts = bases(files)
    damage(files)
    async with running_broker(tmp_path, **SMALL) as broker:
        found = await read_partition(broker.client, 0)
        lost, lost_metric, _ = await told(broker.client, 0)
        assert await read_partition(broker.client, 1) == list(range(COUNT))
        assert (await broker.client.produce("t", b"next", partition=0)).json["offset"] == COUNT
    missing = set(range(COUNT)) - set(found)
    assert found == sorted(set(found))
    assert missing <= {n for at in costs for n in range(starts[at], starts[at + 1])}
    assert bool(missing) == bool(costs)
    assert lost == lost_metric == len(missing)
    assert ("messages lost" in "".join(capsys.readouterr())) == bool(missing)


async def test_files_swapped_between_partitions_are_put_aside_and_can_be_put_back(
    tmp_path: Path,
) -> None:
    files = await write_log(tmp_path)
    mine, other = files[0][3], files[1][3]
    mine.rename(tmp_path / "held")
    other.rename(mine)
    (tmp_path / "held").rename(other)
    async with running_broker(tmp_path, **SMALL) as broker:
        for partition in (0, 1):
            await read_partition(broker.client, partition)
            lost, _, corrupt = await told(broker.client, partition)
            assert (lost, corrupt) == (bases(files[0])[4] - bases(files[0])[3], 1)
    for path, target in ((mine, other), (other, mine)):
        path.with_name(path.name + ".bad").rename(target)
    async with running_broker(tmp_path, **SMALL) as broker:
        for partition in (0, 1):
            seek = {"topic": "t", "to": "earliest"}
            await broker.client.request("POST", "/groups/g/seek", params=seek)
            assert await read_partition(broker.client, partition) == list(range(COUNT))


async def test_after_a_last_file_that_is_none_the_log_goes_on_where_it_began(
    tmp_path: Path,
) -> None:
    files = (await write_log(tmp_path))[0]
    files[-1].write_bytes(b"no segment")
    base = bases(files)[-2]
    async with running_broker(tmp_path, **SMALL) as broker:
        assert await read_partition(broker.client, 0) == list(range(base))
        answer = await broker.client.produce("t", content(0, base), partition=0)
        assert answer.json["offset"] == base
        assert await read_partition(broker.client, 0) == [base]
        assert (await told(broker.client, 0))[2] == 1
    assert b"no segment" in contents(tmp_path)


async def test_nothing_that_is_not_understood_is_deleted(tmp_path: Path) -> None:
    files = await write_log(tmp_path)
    strangers = {
        files[0][3]: b"no segment",
        files[0][0].with_name("notes.txt"): b"somebody's",
        files[0][0].with_name(".nfs0001"): b"the kernel's",
        tmp_path / "topics" / "lost+found" / "inode": b"fsck's",
        tmp_path / "topics" / "README": b"a file",
    }
    for path, text in strangers.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text)
    async with running_broker(tmp_path, **SMALL) as broker:
        await read_partition(broker.client, 0)
    left = contents(tmp_path)
    assert all(text in left for text in strangers.values())


@pytest.mark.parametrize("damage", [b"", b"rotten", bytes(100)], ids=["empty", "text", "zeros"])
async def test_small_files_cost_repetition_and_no_message(tmp_path: Path, damage: bytes) -> None:
    await write_log(tmp_path)
    small = [tmp_path / "topics" / "t" / "topic"]
    small += (tmp_path / "topics" / "t").glob("*/groups")
    small += (tmp_path / "topics" / "t").glob("*/keys")
    assert len(small) == 5
    for path in small:
        path.write_bytes(damage)
    async with running_broker(tmp_path, **SMALL) as broker:
        async with broker.client.consume("t", group="g", max_in_flight=1):
            pass
        for partition in (0, 1):
            found = await read_partition(broker.client, partition)
            assert sorted(found) == list(range(COUNT))
            assert await told(broker.client, partition) == (0, 0.0, 0.0)


async def test_a_partition_that_is_gone_is_said_and_the_others_keep_their_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await write_log(tmp_path)
    shutil.rmtree(tmp_path / "topics" / "t" / "0")
    (tmp_path / "topics" / "t" / "topic").write_bytes(b"rotten")
    async with running_broker(tmp_path, **SMALL) as broker:
        assert await read_partition(broker.client, 1) == list(range(COUNT))
        assert (await broker.client.produce("t", b"x", partition=0)).json["offset"] == 0
    said = "".join(capsys.readouterr())
    assert "partitions missing, begun anew" in said
    async with running_broker(tmp_path, **SMALL):
        pass
    assert "missing" not in "".join(capsys.readouterr())


async def test_damage_that_happens_while_the_broker_runs_is_met_when_it_is_read(
    tmp_path: Path,
) -> None:
    async with running_broker(tmp_path, **SMALL) as broker:
        client = broker.client
        for number in range(COUNT):
            await client.produce("t", content(0, number), partition=0)
        zero_a_page(files_of(tmp_path, 0))
        async with client.consume("t", group="g", partition=0, max_in_flight=1):
            pass
        found = await read_partition(client, 0)
        lost, _, corrupt = await told(client, 0)
    assert lost == COUNT - len(found) > 0
    assert corrupt > 0
