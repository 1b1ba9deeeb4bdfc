"""Wide CSV files: one column a metric, told by name, then by values."""

import pytest

from streamer.sources.base import SourceError
from tests.streamer.reading import HOST, MODIFIED_MS, layout_of, read_bytes, read_text

PLAIN = "gpu_id,temperature,utilization,memory_used,power_draw\n0,65,99,32480,120.5\n1,40,0,3,60\n"


def test_well_known_names_become_dcgm_metrics_of_gpus_of_the_files_host() -> None:
    samples, progress = read_text(PLAIN)
    assert [sample.gpu.id for sample in samples] == [f"{HOST}-0", f"{HOST}-1"]
    assert samples[0].metrics == {
        "DCGM_FI_DEV_GPU_TEMP": 65.0,
        "DCGM_FI_DEV_GPU_UTIL": 99.0,
        "DCGM_FI_DEV_FB_USED": 32480.0,
        "DCGM_FI_DEV_POWER_USAGE": 120.5,
    }
    assert (progress.rows_read, progress.values_read, progress.missing) == (2, 8, 0)


def test_without_a_time_a_row_has_the_files_time_and_a_millisecond_a_line() -> None:
    samples, _ = read_text(PLAIN)
    assert [sample.timestamp for sample in samples] == [MODIFIED_MS + 2, MODIFIED_MS + 3]


def test_time_host_uuid_and_labels_are_taken_where_they_are() -> None:
    [sample], _ = read_text(
        "Timestamp,Hostname,UUID,Name,Driver_Version,state,temp,my_score\n"
        "2025-07-18T20:42:34Z,n1,GPU-a,H100,535.54,idle,60,1.25\n"
    )
    gpu = sample.gpu
    assert (gpu.id, gpu.hostname, gpu.model) == ("GPU-a", "n1", "H100")
    assert gpu.labels == {"Driver_Version": "535.54", "state": "idle"}
    assert sample.timestamp == 1_752_871_354_000
    assert sample.metrics == {"DCGM_FI_DEV_GPU_TEMP": 60.0, "my_score": 1.25}


@pytest.mark.parametrize(
    ("title", "text", "metric", "unit", "value"),
    [
        ("memory_used_gb", "4", "DCGM_FI_DEV_FB_USED", "MiB", 4096.0),
        ("memory_used (GiB)", "4", "DCGM_FI_DEV_FB_USED", "MiB", 4096.0),
        ("memory_used_bytes", "1048576", "DCGM_FI_DEV_FB_USED", "MiB", 1.0),
        ("memory_used", "34057748480", "DCGM_FI_DEV_FB_USED", "MiB", 32480.0),
        ("memory_used", "4 GiB", "DCGM_FI_DEV_FB_USED", "MiB", 4096.0),
        ("power_draw [mW]", "120500", "DCGM_FI_DEV_POWER_USAGE", "W", 120.5),
        ("Temperature (F)", "212", "DCGM_FI_DEV_GPU_TEMP", "C", 100.0),
        ("temperature_c", "71", "DCGM_FI_DEV_GPU_TEMP", "C", 71.0),
        ("sm_clock [GHz]", "1.5", "DCGM_FI_DEV_SM_CLOCK", "MHz", 1500.0),
        ("DCGM_FI_DEV_SM_CLOCK", "1410", "DCGM_FI_DEV_SM_CLOCK", "MHz", 1410.0),
        ("memory.used [%]", "30", "memory.used", "%", 30.0),
        ("Temperature (Sensor edge) (C)", "41", "Temperature (Sensor edge)", "C", 41.0),
        ("throughput", "450 MB/s", "throughput", "MB/s", 450.0),
        ("cache [KiB]", "2048", "cache", "MiB", 2.0),
        ("pstate", "P8", "DCGM_FI_DEV_PSTATE", "", 8.0),
    ],
)
def test_units_are_brought_to_one_for_each_metric(
    title: str, text: str, metric: str, unit: str, value: float
) -> None:
    csv = f"gpu_id,{title},power_draw\n0,{text},1\n"
    columns = {column.title: column for column in layout_of(csv).columns}
    assert (columns[title].becomes, columns[title].unit) == (metric, unit)
    [sample], _ = read_text(csv)
    assert sample.metrics[metric] == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hot", "bad_value"),
        ("1,5", "bad_value"),
        ("0x1F", "bad_value"),
        ("1_000", "bad_value"),
        ("1e999", "not_finite"),
        ("NaN", "not_finite"),
        ("-inf", "not_finite"),
        ("120 W", "bad_unit"),
        ("1 furlong", "bad_unit"),
    ],
)
def test_a_bad_value_costs_only_itself(text: str, reason: str) -> None:
    samples, progress = read_text(f'gpu_id,temperature,power_draw\n0,"{text}",60\n')
    assert [sample.metrics for sample in samples] == [{"DCGM_FI_DEV_POWER_USAGE": 60.0}]
    assert progress.rejects.report() == {reason: {"count": 1, "lines": [2]}}
    assert progress.values_read == 2


@pytest.mark.parametrize("text", ["", " ", "[N/A]", "N/A", "[Not Supported]", "ERR!", "-", "null"])
def test_what_says_that_there_is_no_value_is_missing(text: str) -> None:
    samples, progress = read_text(f"gpu_id,temperature,power_draw\n0,{text},60\n")
    assert [sample.metrics for sample in samples] == [{"DCGM_FI_DEV_POWER_USAGE": 60.0}]
    assert (progress.missing, progress.rejects.total) == (1, 0)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2025-07-18T20:42:34Z,0", "short_row"),
        ("2025-07-18T20:42:34Z,0,1,2", "long_row"),
        ("yesterday,0,1", "bad_timestamp"),
        ("1970-01-02T00:00:00Z,0,1", "timestamp_out_of_bounds"),
        ("2025-07-18T20:42:34Z,,1", "no_identity"),
        ('2025-07-18T20:42:34Z,"0,1', "unbalanced_quotes"),
        ("2025-07-18T20:42:34Z,0\0,1", "nul_byte"),
        ("timestamp,gpu_id,temperature", "repeated_header"),
    ],
)
def test_a_bad_row_costs_only_itself(line: str, reason: str) -> None:
    good = "2025-07-18T20:42:{}Z,0,50"
    lines = ["timestamp,gpu_id,temperature", good.format(33), line, good.format(35)]
    samples, progress = read_text("\n".join(lines))
    assert len(samples) == 2
    assert progress.rejects.report() == {reason: {"count": 1, "lines": [3]}}
    assert (progress.rows_read, progress.values_read) == (3, 3)


def test_memory_that_no_gpu_has_is_not_stored() -> None:
    _, progress = read_text("gpu_id,memory_used\n0,300\n0,34057748480\n")
    assert progress.rejects.report() == {"bad_value": {"count": 1, "lines": [3]}}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_delimiters_line_ends_and_encodings_are_told(
    delimiter: str, end: str, encoding: str
) -> None:
    text = PLAIN.replace(",", delimiter).replace("\n", end)
    assert read_bytes(text.encode(encoding))[0] == read_text(PLAIN)[0]


def test_a_decimal_comma_is_read_between_semicolons() -> None:
    samples, progress = read_text("gpu_id;temperature;power_draw\n0;45,5;1.234,5\n0;46;1.5\n")
    assert [sample.metrics["DCGM_FI_DEV_GPU_TEMP"] for sample in samples] == [45.5, 46.0]
    assert progress.rejects.report() == {"bad_value": {"count": 1, "lines": [2]}}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_told_by_the_header(delimiter: str) -> None:
    [sample], _ = read_text("gpu_id,temperature,power\n3,45,120.5\n".replace(",", delimiter))
    assert sample.gpu.gpu_id == "3"
    assert sample.metrics == {"DCGM_FI_DEV_GPU_TEMP": 45.0, "DCGM_FI_DEV_POWER_USAGE": 120.5}


def test_what_excel_writes_about_the_delimiter_is_no_header() -> None:
    [sample], _ = read_text("sep=;\ngpu_id;temperature\n0;45,5\n")
    assert (sample.metrics, sample.timestamp) == (
        {"DCGM_FI_DEV_GPU_TEMP": 45.5},
        MODIFIED_MS + 3,
    )


def test_columns_can_be_named_for_a_file_without_header() -> None:
    names = ("gpu_id", "temperature")
    samples, progress = read_text("0,50\n1,51\n", names=names)
    assert [sample.metrics["DCGM_FI_DEV_GPU_TEMP"] for sample in samples] == [50.0, 51.0]
    renamed, _ = read_text("card,heat\n0,50\n1,51\n", names=names)
    assert [sample.metrics for sample in renamed] == [sample.metrics for sample in samples]
    assert progress.rows_read == 2


def test_the_host_can_be_named() -> None:
    [first, _], _ = read_text(PLAIN, hostname="rack1-n3")
    assert first.gpu.id == "rack1-n3-0"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("\n \n", "empty"),
        ("name,age\nAda,36\n", "neither a GPU"),
        ("timestamp,price\n2025-07-18T20:42:34Z,5\n", "neither a GPU"),
        ("gpu_id,state\n0,idle\n", "no column holds numbers"),
        ("temperature,power_draw\n1,2\n", "neither a time nor a GPU"),
        ("0,65,99\n1,40,0\n", "row and not a header.*CSV_COLUMNS"),
        ("gpu_id,temperature,Temperature\n0,1,2\n", "more than once: temperature"),
        ("timestamp,gpu_id,temperature\n18.07.2025 20:42,0,1\n", "times of column timestamp"),
        ("just some text\n", "not a CSV"),
        ("gpu_id,temp\xe9rature\n0,1\n".encode("latin-1"), "bad_encoding.*UTF-8"),
        (",".join(f"c{n}" for n in range(300)), "300 columns"),
        (b"PK\x03\x04rest", "Excel"),
        (b"PAR1rest", "Parquet"),
        (b"\x28\xb5\x2f\xfdrest", "zstd"),
        ('{"gpu": 0}\n', "JSON"),
        ("# HELP DCGM_FI_DEV_GPU_UTIL x\n", "Prometheus"),
        ("# gpu   pwr gtemp\n# Idx     W     C\n    0    50    40\n", "dmon"),
        ("#Date       Time        gpu    pwr\n 20240501   10:00:00   0   50\n", "dmon"),
        ("#Date, Time, gpu, pwr\n 20240501, 10:00:00, 0, 50\n", "dmon"),
    ],
)
def test_a_file_that_cannot_do_is_refused_by_name(text: str | bytes, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        layout_of(text)


def test_a_header_alone_is_no_error() -> None:
    assert read_text("gpu_id,temperature\n")[0] == []


def test_twelve_columns_of_another_meaning_are_read_as_what_they_say() -> None:
    names = ["time", "host", "gpu", "a", "b", "c", "d", "e", "f", "g", "h", "note"]
    values = ["2025-07-18T20:42:34Z", "n1", "3", *map(str, range(8)), "fine"]
    [sample], _ = read_text(",".join(names) + "\n" + ",".join(values) + "\n")
    assert (sample.gpu.id, sample.gpu.labels) == ("n1-3", {"note": "fine"})
    assert sample.metrics == {name: float(n) for n, name in enumerate("abcdefgh")}


def test_a_column_of_dates_is_the_time_whatever_its_name() -> None:
    [sample], _ = read_text("Zeit;GPU;power_draw\n2024-03-01 00:00:01;0;320,5\n")
    assert sample.timestamp == 1_709_251_201_000
    assert sample.metrics == {"DCGM_FI_DEV_POWER_USAGE": 320.5}


def test_dates_that_cannot_be_read_are_refused_whatever_their_column_is_called() -> None:
    with pytest.raises(SourceError, match="times of column Zeit"):
        layout_of("Zeit;GPU;power_draw\n01.03.2024 00:00:01;0;320,5\n")
