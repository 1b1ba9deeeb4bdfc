"""`telemetry streamer --dry-run`: what is understood of a file, with nothing running."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LOG = """timestamp, name, index, utilization.gpu [%], memory.used [MiB], note
2020/11/12 13:48:11.412, Tesla V100, 0, 99 %, 32480 MiB, fine
2020/11/12 13:48:11.415, Tesla V100, 1, [N/A], 3 MiB, fine
2020/11/12 13:48:12.412, Tesla V100, 0, 98 %
2020/11/12 13:48:12.415, Tesla V100, 1, 7 W, 3 MiB, fine
"""
REPORT = """{path}: nvidia-smi log, commas, {size} bytes
  timestamp            time
  name                 identity model
  index                identity gpu_id
  utilization.gpu [%]  metric DCGM_FI_DEV_GPU_UTIL in %
  memory.used [MiB]    metric DCGM_FI_DEV_FB_USED in MiB
  note                 label note
  no host column: the host is node7 (CSV_HOSTNAME names another)
  4 rows: 3 samples, 4 points, 1 missing values, 0 repeated
  from 2020-11-12T13:48:11.412Z to 2020-11-12T13:48:12.415Z
  2 GPUs (node7-0, node7-1)
  1 hosts (node7)
  sample node7-0 at 2020-11-12T13:48:11.412Z: DCGM_FI_DEV_GPU_UTIL 99, DCGM_FI_DEV_FB_USED 32480
  sample node7-1 at 2020-11-12T13:48:11.415Z: DCGM_FI_DEV_FB_USED 3
  sample node7-1 at 2020-11-12T13:48:12.415Z: DCGM_FI_DEV_FB_USED 3
  rejected 1 short_row: line 4
  rejected 1 bad_unit: line 5
"""


def streamer(
    *flags: str, text: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command with no token and no queue."""
    clean = {name: value for name, value in os.environ.items() if name != "SERVICE_TOKEN"}
    return subprocess.run(
        [sys.executable, "-m", "cli", "streamer", *flags],
        input=text,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "node7.csv"
    path.write_text(LOG)
    return path


def test_it_says_what_it_understood_by_flag_and_by_environment(log: Path) -> None:
    expected = REPORT.format(path=log, size=len(LOG))
    by_flag = streamer("--dry-run", "--csv", str(log))
    assert (by_flag.returncode, by_flag.stdout) == (0, expected), by_flag.stderr
    by_environment = streamer(DRY_RUN="true", CSV_PATH=str(log))
    assert by_environment.stdout == expected


def test_what_cannot_be_read_ends_with_2_and_the_reason(tmp_path: Path) -> None:
    done = streamer("--dry-run", "--csv", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: {tmp_path}: is a directory" in done.stderr


def test_standard_input_is_read_too() -> None:
    done = streamer("--dry-run", "--csv", "-", text=LOG)
    assert done.returncode == 0
    assert "the host is stdin" in done.stdout


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"CSV_TIMEZONE": "Mars/Olympus"}, "CSV_TIMEZONE: must be"),
        ({"FOLLOW": "true", "CSV_PATH": "-"}, "FOLLOW needs one file in CSV_PATH"),
        ({}, "DRY_RUN needs CSV_PATH"),
    ],
)
def test_options_that_make_no_sense_are_named(environment: dict[str, str], says: str) -> None:
    done = streamer("--dry-run", **environment)
    assert done.returncode == 2
    assert says in done.stderr


def test_without_dry_run_it_is_a_service_with_a_token(log: Path) -> None:
    done = streamer("--csv", str(log))
    assert done.returncode == 2
    assert "SERVICE_TOKEN is required" in done.stderr
