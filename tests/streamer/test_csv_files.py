"""CSV files on disk: several, packed, damaged; marks lead to where reading goes on."""

import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.models import Sample
from streamer.sources import lines
from streamer.sources.base import Mark, Source, SourceError
from streamer.sources.csv_files import CsvFiles
from streamer.sources.layout import CsvSettings
from tests.streamer.fakes import HEADER, row, write_file

WIDE = "gpu_id,temperature\n0,50\n1,51\n"


def source(path: Path | str) -> CsvFiles:
    return CsvFiles(str(path), CsvSettings())


async def drain(found: Source) -> list[Sample]:
    samples: list[Sample] = []
    while (chunk := await found.read()) is not None:
        samples += chunk
    return samples


async def read_all(path: Path | str) -> list[Sample]:
    found = source(path)
    try:
        await found.open()
        return await drain(found)
    finally:
        await found.close()


async def refusal(path: Path | str) -> str:
    with pytest.raises(SourceError) as caught:
        await read_all(path)
    return str(caught.value)


async def test_gzip_is_told_by_content(tmp_path: Path) -> None:
    plain, packed = tmp_path / "node7.csv", tmp_path / "packed"
    plain.write_text(WIDE)
    packed.mkdir()
    (packed / "node7.csv").write_bytes(gzip.compress(WIDE.encode()))
    for path in (plain, packed / "node7.csv"):
        os.utime(path, (1_752_871_354, 1_752_871_354))
    assert await read_all(plain) == await read_all(packed / "node7.csv") != []


async def test_a_damaged_or_cut_gzip_is_an_error_by_name(tmp_path: Path) -> None:
    packed = gzip.compress(os.urandom(1000).hex().encode() + WIDE.encode() * 2000)
    for name, text in (
        ("cut.csv", packed[:-20]),
        ("bad.csv", packed[:500] + b"\0" * 100 + packed[600:]),
        ("twice.csv", gzip.compress(gzip.compress(WIDE.encode(), mtime=0), mtime=0)),
    ):
        (tmp_path / name).write_bytes(text)
        assert name in await refusal(tmp_path / name)


async def test_files_come_in_order_and_each_has_its_own_header(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("index,temperature\n7,50\n")
    (tmp_path / "a.csv").write_text(WIDE)
    expected = ["a-0", "a-1", "b-7"]
    for path in (tmp_path / "*.csv", f"{tmp_path}/a.csv,{tmp_path}/b.csv"):
        assert [sample.gpu.id for sample in await read_all(path)] == expected


async def test_a_name_with_a_comma_or_star_that_is_a_file_is_one(tmp_path: Path) -> None:
    for name in ("a,b.csv", "a*.csv", "[1].csv"):
        (tmp_path / name).write_text(WIDE)
        assert len(await read_all(tmp_path / name)) == 2


async def test_what_is_no_file_is_refused_by_name(tmp_path: Path) -> None:
    assert f"is a directory: give its files, as {tmp_path}/*.csv" in await refusal(tmp_path)
    assert "no file has such a name" in await refusal(tmp_path / "*.csv")
    assert "No such file" in await refusal(tmp_path / "gone.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    assert "not a regular file" in await refusal(tmp_path / "pipe.csv")


async def test_text_that_turns_out_to_be_no_utf_16_is_an_error_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(WIDE.encode("utf-16") + b"\x00\xd8\x00\xd8")
    assert "a.csv: is not the encoding it begins as" in await refusal(path)


async def test_a_line_of_10_mb_and_a_nul_cost_a_row_each(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(WIDE.encode() + b"x" * 10_000_000 + b"\n0,5\0\n0,52\n")
    found = source(path)
    await found.open()
    assert len(await drain(found)) == 3
    report = found.progress.rejects.report()
    assert {reason: entry["lines"] for reason, entry in report.items()} == {
        "line_too_long": [4],
        "nul_byte": [5],
    }
    await found.close()


def fleet(seconds: int, gpus: Sequence[str]) -> list[str]:
    """Metric by metric, so that samples are open for long, with some rows spoiled."""
    rows = [
        row(uuid=uuid, metric=metric, value=f"{second}.5", stamp=f"2025-07-18T20:42:{second:02d}Z")
        for second in range(seconds)
        for metric in ("power", "util", "temp")
        for uuid in gpus
    ]
    return [*rows[:5], "spoiled", *rows[5:]]


async def marks_of(found: CsvFiles) -> tuple[list[list[Sample]], list[Mark]]:
    """The chunks, and the mark behind each."""
    chunks, marks = [], []
    while (chunk := await found.read()) is not None:
        chunks.append(chunk)
        mark = found.mark()
        assert mark is not None
        marks.append(json.loads(json.dumps(mark)))
    return chunks, marks


@pytest.mark.parametrize("packed", [False, True])
async def test_from_every_mark_the_rest_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr(lines.LineReader.__init__, "__defaults__", (b"\n", 0, 1, 1000))
    for name in ("a.csv", "b.csv"):
        path = write_file(tmp_path / name, *fleet(8, "abcdef"[: 3 + len(name)]))
        if packed:
            path.write_bytes(gzip.compress(path.read_bytes()))
    found = source(tmp_path / "*.csv")
    await found.open()
    assert found.mark() == {}
    chunks, marks = await marks_of(found)
    await found.close()
    assert len(chunks) > 20
    for number, mark in enumerate(marks):
        again = source(tmp_path / "*.csv")
        await again.open()
        await again.resume(mark)
        assert again.mark() == mark
        assert again.progress.rows_read == 0
        assert (await marks_of(again))[0] == chunks[number + 1 :]
        await again.close()


async def test_a_mark_at_the_end_of_a_file_without_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(WIDE.rstrip())
    found = source(tmp_path / "a.csv")
    await found.open()
    chunks, marks = await marks_of(found)
    for number, mark in enumerate(marks):
        again = source(tmp_path / "a.csv")
        await again.open()
        await again.resume(mark)
        assert (await marks_of(again))[0] == chunks[number + 1 :]
        await again.close()
    await found.close()


async def test_a_second_pass_after_a_resume_is_whole(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.csv", *fleet(3, "ab"))
    found = source(path)
    await found.open()
    _, marks = await marks_of(found)
    await found.close()
    again = source(path)
    await again.open()
    await again.resume(marks[-1])
    await drain(again)
    await again.rewind()
    assert again.mark() == {}
    assert await drain(again) == await read_all(path)
    await again.close()


@pytest.mark.parametrize("change", ["shorter", "other head", "other bytes", "gone"])
async def test_a_mark_of_another_content_is_refused(tmp_path: Path, change: str) -> None:
    path = write_file(tmp_path / "a.csv", *fleet(3, "ab"))
    found = source(tmp_path / "*.csv")
    await found.open()
    _, marks = await marks_of(found)
    await found.close()
    text = path.read_bytes()
    changed = {
        "shorter": text[:-100],
        "other head": text.replace(b"20:42:00", b"20:42:59", 1),
        "other bytes": text[:-30] + text[-30:].replace(b"x", b"y"),
    }
    if change == "gone":
        path.rename(tmp_path / "b.csv")
    else:
        path.write_bytes(changed[change])
    again = source(tmp_path / "*.csv")
    await again.open()
    with pytest.raises(SourceError, match=r"a\.csv"):
        await again.resume(marks[-1])
    await again.close()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
async def test_no_bytes_at_all_are_more_than_an_error_by_name(
    tmp_path_factory: pytest.TempPathFactory, text: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "any.csv"
    for head in (b"", HEADER.encode() + b"\n", WIDE.encode()):
        path.write_bytes(head + text)
        try:
            await read_all(path)
        except SourceError as error:
            assert "any.csv" in str(error)
