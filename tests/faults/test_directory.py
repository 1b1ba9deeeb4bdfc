"""The data directory itself: not ours to write, gone, moved, or of a later version."""

import os
import shutil
import struct
from pathlib import Path

import google_crc32c
import pytest

from common.journal import segment
from tests.faults.load import History, drain
from tests.support.broker import BrokerProcess, broker_process
from tests.support.client import BrokerClient
from tests.support.needs import need_programs
from tests.support.ports import free_port


def as_anybody() -> list[str]:
    """A command prefix under which modes of files count, for root too."""
    if os.geteuid():
        return []
    need_programs("setpriv")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


async def refused(data_dir: Path, log_dir: Path) -> tuple[int, str]:
    """Start a broker that must not start; its exit code and what it said."""
    broker = BrokerProcess(data_dir, {}, free_port(), as_anybody(), log_dir)
    await broker.start()
    try:
        return await broker.wait(), broker.stderr()
    finally:
        await broker.end()


def content(directory: Path) -> dict[Path, bytes]:
    """Every file below, byte for byte."""
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def first_segment(data_dir: Path) -> Path:
    """The first file of partition 0."""
    return segment.path_of(data_dir / "topics" / "t" / "0", 0)


async def some_data(data_dir: Path) -> None:
    async with broker_process(data_dir) as broker, BrokerClient(broker.url) as client:
        await client.produce("t", b"x", partition=0)


@pytest.mark.parametrize("kind", ["not there", "there"])
async def test_a_directory_that_cannot_be_written_is_named_and_left_alone(
    tmp_path: Path, kind: str
) -> None:
    parent = tmp_path / "closed"
    data_dir = parent / "data" if kind == "not there" else parent
    parent.mkdir()
    parent.chmod(0o500)
    code, said = await refused(data_dir, tmp_path)
    assert code == 2
    assert said.startswith(f"error: DATA_DIR: {data_dir}")
    assert "Permission denied" in said
    assert "Traceback" not in said
    assert list(parent.iterdir()) == []


async def test_a_file_for_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    code, said = await refused(tmp_path / "file", tmp_path)
    assert (code, said.startswith("error: DATA_DIR")) == (2, True)
    assert (tmp_path / "file").read_bytes() == b"kept"


async def test_a_log_that_cannot_be_read_is_named_and_left_alone(tmp_path: Path) -> None:
    await some_data(tmp_path / "data")
    before = content(tmp_path / "data")
    first_segment(tmp_path / "data").chmod(0o000)
    code, said = await refused(tmp_path / "data", tmp_path)
    first_segment(tmp_path / "data").chmod(0o600)
    assert code == 3
    assert f"{first_segment(tmp_path / 'data')}: Permission denied" in said
    assert "Traceback" not in said
    assert content(tmp_path / "data") == before


async def test_a_later_version_is_refused_with_the_way_out_and_left_alone(tmp_path: Path) -> None:
    await some_data(tmp_path / "data")
    path = first_segment(tmp_path / "data")
    raw = bytearray(path.read_bytes())
    struct.pack_into("<H", raw, len(segment.MAGIC), segment.VERSION + 1)
    at = segment.HEADER_BYTES - 4
    struct.pack_into("<I", raw, at, google_crc32c.value(bytes(raw[:at])))
    path.write_bytes(raw)
    before = content(tmp_path / "data")
    code, said = await refused(tmp_path / "data", tmp_path)
    assert code == 2
    assert "start the version that wrote it, or move the directory away" in said
    assert content(tmp_path / "data") == before


async def test_a_directory_moved_away_takes_nothing_and_comes_back_whole(tmp_path: Path) -> None:
    data_dir, away, history = tmp_path / "data", tmp_path / "away", History()
    async with (
        broker_process(data_dir, log_dir=tmp_path) as broker,
        BrokerClient(broker.url) as client,
    ):
        history.sent.add(b"before")
        answer = await client.produce("t", b"before", partition=0)
        history.answered(answer.json, [b"before"])
        data_dir.rename(away)
        assert (await client.produce("t", b"nowhere", partition=0)).status == 503
        for path in ("begun", "t"):
            answer = await client.produce(path, b"nowhere", partition=1)
            assert answer.status == 503
        assert not data_dir.exists()
        assert (
            "another file is in its place" in broker.stderr() or "No such file" in broker.stderr()
        )
        await broker.terminate()
        away.rename(data_dir)
        await broker.start()
        await broker.until_ready()
        assert (await client.produce("t", b"after", partition=0)).json["offset"] == 1
        history.sent |= {b"after"}
        await drain(broker.url, history, "g")
    assert history.lost("g", "fsync") == []


async def test_a_directory_made_anew_under_a_running_broker_is_not_written_to(
    tmp_path: Path,
) -> None:
    data_dir = tmp_path / "data"
    async with (
        broker_process(data_dir, log_dir=tmp_path) as broker,
        BrokerClient(broker.url) as client,
    ):
        await client.produce("t", b"x", partition=0)
        shutil.rmtree(data_dir)
        data_dir.mkdir()
        for topic, partition in (("t", 0), ("t", 1), ("begun", 0)):
            assert (await client.produce(topic, b"x", partition=partition)).status == 503
        assert list(data_dir.iterdir()) == []
        await broker.terminate()
