"""Long CSV files: good rows become samples, bad ones are named, the run goes on."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.models import Sample, sample_problem
from streamer.sources.base import Progress, SourceError
from streamer.sources.content import UTF8_MARK
from streamer.sources.csv_files import CsvFiles
from streamer.sources.layout import CsvSettings
from streamer.sources.lines import MAX_LINE_BYTES
from streamer.sources.rejects import LINES_KEPT
from tests.streamer.fakes import HEADER, row, write_file
from tests.streamer.reading import HOST, read_bytes

STAMP = "2025-07-18T20:42:3{}Z"


def read(*lines: str | bytes, header: str = HEADER) -> tuple[list[Sample], Progress]:
    all_lines = [line.encode() if isinstance(line, str) else line for line in (header, *lines)]
    return read_bytes(b"".join(line + b"\n" for line in all_lines))


def test_a_row_becomes_all_that_it_says() -> None:
    [sample], _ = read(row(pod="train-1"))
    gpu = sample.gpu
    assert (gpu.id, gpu.hostname, gpu.gpu_id, gpu.device) == ("GPU-a", "host-0", "0", "nvidia0")
    assert (gpu.model, gpu.pod, gpu.namespace) == ("H100", "train-1", "")
    assert gpu.labels == {"DCGM_FI_DRIVER_VERSION": "535", "job": "x"}
    assert sample.timestamp == 1_752_871_354_000
    assert sample.metrics == {"power": 1.5}


BAD_ROWS: list[tuple[str | bytes, str]] = [
    ('"2025-07-18T20:42:34Z","power"', "short_row"),
    (row() + ',"more"', "long_row"),
    (row()[:-1], "unbalanced_quotes"),
    (row(stamp="yesterday"), "bad_timestamp"),
    (row(stamp="2025-07-18"), "bad_timestamp"),
    (row(stamp="1999-12-31T23:59:59Z"), "timestamp_out_of_bounds"),
    (row(stamp="2101-01-01T00:00:00Z"), "timestamp_out_of_bounds"),
    *((row(value=v), "bad_value") for v in ("N/A", "", "1,5", "0x1F", "1_000", "12 W")),
    *((row(value=v), "not_finite") for v in ("NaN", "inf", "-inf", "1e999")),
    (row(uuid="", host=""), "no_identity"),
    (row(uuid="", gpu_id="").replace("nvidia0", ""), "no_identity"),
    (row(metric=""), "no_metric"),
    (row(uuid="G" * 600), "text_too_long"),
    (row(host="caf\u00e9").encode("latin-1"), "bad_encoding"),
    (row(host="a\0b"), "nul_byte"),
    (row(labels="x" * MAX_LINE_BYTES), "line_too_long"),
    (HEADER, "repeated_header"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD_ROWS)
def test_a_bad_row_costs_only_itself(bad: str | bytes, reason: str) -> None:
    samples, progress = read(row(value="1"), bad, row(metric="util", value="2"))
    assert [sample.metrics for sample in samples] == [{"power": 1.0, "util": 2.0}]
    assert progress.rejects.report() == {reason: {"count": 1, "lines": [3]}}
    assert progress.rows_read == 3


@pytest.mark.parametrize(("bad", "reason"), BAD_ROWS)
def test_a_bad_row_is_seen_where_a_known_one_was_expected(bad: str | bytes, reason: str) -> None:
    times = [f"2025-07-18T20:42:{second}Z" for second in range(10, 14)]
    good = [[row(stamp=at), row(stamp=at, uuid="GPU-b")] for at in times]
    samples, progress = read(*good[0], *good[1], good[2][0], bad, good[2][1], *good[3])
    assert len(samples) == 8
    assert progress.rejects.report() == {reason: {"count": 1, "lines": [7]}}


@pytest.mark.parametrize(
    "tail", ['"5"x"', '"5","y"', '"5",z', '"5', '"5""', '"5" ', "5", '"5",""', '"",""']
)
def test_a_familiar_row_with_another_end_is_not_taken_for_it(tail: str) -> None:
    header = "timestamp,uuid,metric_name,value"
    lines = [f'"2025-07-18T20:42:3{n % 2}Z","GPU-{n // 2 % 2}","m","{n}"' for n in (0, 2, 0, 2)]
    samples, progress = read(
        *lines, lines[0], '"2025-07-18T20:42:30Z","GPU-1","m",' + tail, header=header
    )
    taken = sum(len(sample.metrics) for sample in samples)
    bad = progress.rejects.total
    assert taken + progress.duplicates + bad == progress.rows_read == 6
    assert bad == (0 if tail == "5" else 1)


@pytest.mark.parametrize("frames", [1, 3, 100])
def test_a_fleet_larger_than_what_is_remembered_reads_the_same(
    monkeypatch: pytest.MonkeyPatch, frames: int
) -> None:
    monkeypatch.setattr("streamer.sources.frames.MAX_FRAMES", frames)
    monkeypatch.setattr("streamer.sources.frames.MAX_STRANGERS", 2 * frames)
    cells = [(second, gpu) for second in range(10, 20) for gpu in "abcdef"]
    rows = [row(uuid=u, value=f"{s}", stamp=f"2025-07-18T20:42:{s}Z") for s, u in cells]
    samples, _ = read(*rows)
    found = {(sample.timestamp // 1000 % 60, sample.gpu.uuid) for sample in samples}
    assert found == {(second, gpu) for second, gpu in cells}
    assert all(s.metrics == {"power": s.timestamp // 1000 % 60} for s in samples)


@given(st.lists(st.sampled_from([row(), row(metric="b"), row(uuid="B"), "x", row(value="?")])))
def test_the_books_balance(lines: list[str]) -> None:
    samples, progress = read(*lines)
    points = sum(len(sample.metrics) for sample in samples)
    assert points + progress.duplicates + progress.rejects.total == progress.rows_read == len(lines)
    assert all(sample_problem(sample) is None for sample in samples)


def test_only_the_first_bad_lines_are_kept() -> None:
    _, progress = read(*["x"] * (LINES_KEPT + 5))
    report = progress.rejects.report()["short_row"]
    assert report == {"count": LINES_KEPT + 5, "lines": list(range(2, LINES_KEPT + 2))}


def test_columns_may_come_in_any_order_and_case_and_more_become_labels() -> None:
    [sample], _ = read(
        '7,power,a,"2025-07-18T20:42:34Z",r1,',
        header="VALUE,Metric_Name,UUID,TimeStamp,rack,row",
    )
    assert sample.metrics == {"power": 7.0}
    assert sample.gpu.labels == {"rack": "r1"}


def test_the_same_gpu_in_another_pod_is_told_apart_from_then_on() -> None:
    later = "2025-07-18T20:42:35Z"
    samples, _ = read(row(pod="one"), row(pod="two", stamp=later))
    assert [(sample.gpu.id, sample.gpu.pod) for sample in samples] == [
        ("GPU-a", "one"),
        ("GPU-a", "two"),
    ]


@pytest.mark.parametrize("stamp", ["2025-07-18 20:42:34", "2025-07-18T22:42:34+02:00"])
def test_times_are_utc_unless_they_say_otherwise(stamp: str) -> None:
    [sample], _ = read(row(stamp=stamp))
    assert sample.timestamp == 1_752_871_354_000


def test_a_mark_crlf_blank_lines_and_no_last_line_end_do_not_matter() -> None:
    text = "\r\n".join([HEADER, row(), "", row(metric="util")])
    [sample], progress = read_bytes(UTF8_MARK + text.encode())
    assert set(sample.metrics) == {"power", "util"}
    assert progress.rows_read == 2


def test_unquoted_names_outside_ascii_are_read() -> None:
    [sample], _ = read("2025-07-18T20:42:34Z,m,\u00fc,1", header="timestamp,metric_name,uuid,value")
    assert sample.gpu.uuid == "\u00fc"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "empty"),
        (b"metric_name,value\nm,1\n", "lacks timestamp, uuid"),
        (b"timestamp,metric_name,hostname,value\n", "uuid"),
        (b"timestamp,metric_name,uuid,value,Value\n", "more than once: value"),
        (b",".join(b"c%d" % n for n in range(1000)) + b"\n", "1000 columns"),
        (b"x" * (2 * MAX_LINE_BYTES), "line 1 is longer"),
        (b",".join(b"c%d" % n for n in range(100_000)) + b"\n", "longer than 65536 bytes"),
    ],
)
def test_a_file_that_cannot_do_is_refused_by_name(text: bytes, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        read_bytes(text)


def test_a_header_alone_is_no_error() -> None:
    assert read()[0] == []


async def test_a_second_pass_gives_the_same_samples(tmp_path: Path) -> None:
    source = CsvFiles(str(write_file(tmp_path / "a.csv", row(), "x")), CsvSettings())
    await source.open()
    passes = []
    for _ in range(2):
        found = []
        while (chunk := await source.read()) is not None:
            found.extend(chunk)
        passes.append(found)
        await source.rewind()
    await source.close()
    assert passes[0] == passes[1] != []
    assert source.progress.rejects.report() == {"short_row": {"count": 2, "lines": [3]}}


async def test_the_name_follows_the_content(tmp_path: Path) -> None:
    names = []
    for value in ("1", "2", "1"):
        source = CsvFiles(str(write_file(tmp_path / "a.csv", row(value=value))), CsvSettings())
        names.append(await source.open())
        await source.close()
    assert names[0] == names[2] != names[1]


@pytest.mark.parametrize("name", ["missing.csv", "."])
async def test_a_path_that_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    source = CsvFiles(str(tmp_path / name), CsvSettings())
    with pytest.raises(SourceError):
        await source.open()
    await source.close()


def test_other_words_for_the_columns_are_understood() -> None:
    [sample], _ = read_bytes(b"time,host,gpu,metric,value\n1700000000,n1,0,util,50\n")
    assert (sample.gpu.id, sample.timestamp) == ("n1-0", 1_700_000_000_000)
    assert sample.metrics == {"util": 50.0}


def test_a_decimal_comma_is_read_between_semicolons_and_tabs_delimit_too() -> None:
    plain = b"ts,gpu,metric,value\n1700000000,0,util,50.5\n"
    for text in (plain.replace(b",", b";").replace(b"50.5", b"50,5"), plain.replace(b",", b"\t")):
        [sample], _ = read_bytes(text)
        assert (sample.gpu.id, sample.metrics) == (f"{HOST}-0", {"util": 50.5})


def test_mig_instances_are_gpus_of_their_own_wherever_they_are_named() -> None:
    raw = 'DCGM_FI_DRIVER_VERSION=""535"",GPU_I_ID=""{}"",GPU_I_PROFILE=""1g.10gb""'
    rows = [
        row(labels=raw.format(instance), value=f"{second}{instance}", stamp=STAMP.format(second))
        for second in range(1, 4)
        for instance in (1, 2)
    ]
    samples, progress = read(*rows)
    found = {(sample.gpu.id, sample.metrics["power"]) for sample in samples}
    assert found == {(f"GPU-a-mig-{i}", float(f"{s}{i}")) for s in range(1, 4) for i in (1, 2)}
    assert progress.duplicates == 0
    for text in (
        b"ts,uuid,GPU_I_ID,metric,value\n1700000000,a,1,power,5\n1700000000,a,2,power,6\n",
        b"ts,uuid,GPU_I_ID,power\n1700000000,a,1,5\n1700000000,a,2,6\n",
    ):
        assert [sample.gpu.id for sample in read_bytes(text)[0]] == ["a-mig-1", "a-mig-2"]
