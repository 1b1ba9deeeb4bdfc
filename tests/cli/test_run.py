"""`telemetry run --once`: every row stored, repeated, or refused by name."""

from pathlib import Path

from common.storage.base import TelemetryQuery
from common.storage.sqlite.store import SqliteStore
from tests.cli.command import size_of, started, telemetry

UNDER_WAY_BYTES = 200_000
LARGE_POINTS = 400_000


def points_in(data_dir: Path) -> int:
    store = SqliteStore(data_dir / "telemetry.db", writable=False)
    try:
        return store.stats().points
    finally:
        store.close()


def points_of(data_dir: Path, gpu_id: str) -> set[tuple[int, str, float]]:
    store = SqliteStore(data_dir / "telemetry.db", writable=False)
    try:
        found = store.telemetry(TelemetryQuery(gpu_id, 100))
    finally:
        store.close()
    assert found is not None
    return {(point.timestamp, point.metric, point.value) for point in found.points}


def numbers(output: str) -> dict[str, int]:
    """The books as printed."""
    rows = [line.split("  ") for line in output.splitlines() if line.startswith("  ")]
    parts = [[part.strip() for part in row if part.strip()] for row in rows]
    return {
        row[0]: int(row[1].replace(",", ""))
        for row in parts
        if len(row) >= 2 and row[1].replace(",", "").isdigit()
    }


def test_a_file_is_stored_whole_and_the_books_say_so(tmp_path: Path, small_fleet: Path) -> None:
    done = telemetry("run", "--once", "--csv", str(small_fleet), "--data-dir", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    books = numbers(done.stdout)
    assert (books["rows read"], books["points stored"], books["lost"]) == (1200, 1200, 0)
    assert (books["GPUs"], books["hosts"], books["metrics"]) == (24, 3, 10)
    assert points_in(tmp_path) == 1200


def test_a_file_stored_twice_is_stored_once(tmp_path: Path, small_fleet: Path) -> None:
    arguments = ("run", "--once", "--csv", str(small_fleet), "--data-dir", str(tmp_path))
    assert telemetry(*arguments).returncode == 0
    again = telemetry(*arguments)
    assert again.returncode == 0, again.stdout
    assert numbers(again.stdout)["points stored"] == 1200
    assert points_in(tmp_path) == 1200


def spoil(lines: list[str]) -> dict[int, str]:
    """Spoil ten rows in ten ways; return the reason expected for each line number."""

    def field(line: str, index: int, value: str) -> str:
        parts = line.rstrip("\n").split('","')
        parts[index] = value
        return '","'.join(parts) + "\n"

    first_row = lines[2]
    spoiled = {
        10: (",".join(lines[9].split(",")[:5]) + "\n", "short_row"),
        20: (lines[19].rstrip("\n") + ',"x","y"\n', "long_row"),
        30: (lines[29].rstrip('"\n') + "\n", "unbalanced_quotes"),
        40: (field(lines[39], 0, '"yesterday'), "bad_timestamp"),
        50: (field(lines[49], 10, "N/A"), "bad_value"),
        60: (field(lines[59], 10, "NaN"), "not_finite"),
        70: (field(field(lines[69], 4, ""), 6, ""), "no_identity"),
        80: (field(lines[79], 1, ""), "no_metric"),
        90: (lines[89][:40] + "\0" + lines[89][40:], "nul_byte"),
        100: (field(lines[99], 0, '"1970-01-01T00:00:00Z'), "timestamp_out_of_bounds"),
    }
    assert first_row.count('","') == 11
    for number, (text, _) in spoiled.items():
        lines[number - 1] = text
    return {number: reason for number, (_, reason) in spoiled.items()}


def test_ten_spoiled_rows_are_named_and_the_rest_is_stored(
    tmp_path: Path, small_fleet: Path
) -> None:
    lines = small_fleet.read_text().splitlines(keepends=True)
    expected = spoil(lines)
    csv = tmp_path / "spoiled.csv"
    csv.write_text("".join(lines))
    done = telemetry("run", "--once", "--csv", str(csv), "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 0, done.stdout + done.stderr
    books = numbers(done.stdout)
    assert (books["rows read"], books["points stored"], books["rejected"]) == (1200, 1190, 10)
    for line, reason in expected.items():
        assert f"rejected: {reason}, line {line}" in done.stdout


def test_kill_9_of_every_process_neither_loses_nor_doubles_a_point(
    tmp_path: Path, large_fleet: Path
) -> None:
    data = tmp_path / "data"
    arguments = ("run", "--once", "--csv", str(large_fleet), "--data-dir", str(data))
    victims = ("streamer", "collector", "broker-0", "proxy", "broker-1")  # who ends first is first

    def stored() -> int:
        return size_of(data / "telemetry.db") + size_of(data / "telemetry.db-wal")

    with started(tmp_path, *arguments) as run:
        for victim in victims:
            enough = stored() + UNDER_WAY_BYTES
            run.until(lambda enough=enough: stored() > enough)  # type: ignore[misc]
            run.kill(victim)
        assert run.wait() == 0, run.output()
    for victim in victims:
        assert f"{victim} died and was restarted" in run.output()
    assert numbers(run.output())["points stored"] == LARGE_POINTS
    assert points_in(data) == LARGE_POINTS


def test_a_file_that_is_no_export_is_refused_with_the_reason(tmp_path: Path) -> None:
    csv = tmp_path / "other.csv"
    csv.write_text("a,b\n1,2\n")
    done = telemetry("run", "--once", "--csv", str(csv), "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 3
    assert "streamer" in done.stdout


LOG = """timestamp, index, utilization.gpu [%], memory.used [MiB], power.draw [W]
2020/11/12 13:48:11.412, 0, 99 %, 32480 MiB, 120.50 W
2020/11/12 13:48:11.415, 1, [N/A], 3 MiB, 7 MHz
timestamp, index, utilization.gpu [%], memory.used [MiB], power.draw [W]
2020/11/12 13:48:12.412, 0, 98 %, 32 GiB, 121.50 W
"""


def test_a_log_of_nvidia_smi_is_stored_to_the_value_unit_and_time(tmp_path: Path) -> None:
    log = tmp_path / "node7.csv"
    log.write_text(LOG)
    data_dir = tmp_path / "data"
    done = telemetry("run", "--once", "--csv", str(log), "--data-dir", str(data_dir))
    assert done.returncode == 0, done.stdout + done.stderr
    books = numbers(done.stdout)
    assert (books["rows read"], books["values read"], books["missing values"]) == (4, 9, 1)
    assert (books["points stored"], books["rejected"], books["lost"]) == (7, 2, 0)
    at = 1_605_188_891_412
    assert points_of(data_dir, "node7-0") == {
        (at, "DCGM_FI_DEV_GPU_UTIL", 99.0),
        (at, "DCGM_FI_DEV_FB_USED", 32480.0),
        (at, "DCGM_FI_DEV_POWER_USAGE", 120.5),
        (at + 1000, "DCGM_FI_DEV_GPU_UTIL", 98.0),
        (at + 1000, "DCGM_FI_DEV_FB_USED", 32768.0),
        (at + 1000, "DCGM_FI_DEV_POWER_USAGE", 121.5),
    }
    assert points_of(data_dir, "node7-1") == {(at + 3, "DCGM_FI_DEV_FB_USED", 3.0)}
