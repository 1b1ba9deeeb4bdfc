"""`telemetry export` again, beside another, over what is there, and killed."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from datetime import date
from pathlib import Path

import msgspec
import pytest

from cli.export.command import run_export
from cli.export.folders import HIDDEN, LOCK, PART, Folders
from cli.export.run import Export
from common.storage.factory import open_store
from tests.cli.lake import (
    MIDNIGHT_MS,
    MOST_KILOBYTES,
    ask,
    command,
    export,
    files,
    filled,
    fleet,
    in_files,
    in_store,
    on,
    options,
    place,
)
from tests.support.waiting import until


def test_a_run_again_replaces_and_takes_what_came_since(tmp_path: Path) -> None:
    store, out = filled(place(tmp_path), fleet()), tmp_path / "lake"
    export(store, place(tmp_path), out)
    before = files(out)
    export(store, place(tmp_path), out)
    assert files(out) == before
    assert in_files(out) == in_store(store)
    late = msgspec.structs.replace(fleet()[0], timestamp=MIDNIGHT_MS + 77, metrics={"new": 1.0})
    store.write([late])
    export(store, place(tmp_path), out)
    assert files(out) == before
    assert in_files(out) == in_store(store)


def test_only_the_days_and_hosts_that_were_asked_for(tmp_path: Path) -> None:
    store = filled(place(tmp_path), [on(host, at) for host in "ab" for at in (-1, 0, 86_400_000)])
    one = {"start": "2025-07-19T23:00:00+02:00", "end": "2025-07-19", "hosts": "b"}
    export(store, place(tmp_path), tmp_path / "lake", **one)
    assert files(tmp_path / "lake") == [LOCK, f"day=2025-07-19/host=b/{PART}"]


def test_days_are_named_as_dates_times_or_milliseconds(tmp_path: Path) -> None:
    wanted = date(2025, 7, 18)
    for text in ("2025-07-18", "2025-07-19T01:30:00+02:00", str(MIDNIGHT_MS - 1)):
        assert options(place(tmp_path), tmp_path, start=text).start == wanted
    for text in ("yesterday", "2025-07-18T00:00:00", "20250718T", "9" * 30):
        with pytest.raises(ValueError, match="must be a day"):
            options(place(tmp_path), tmp_path, start=text)
    with pytest.raises(ValueError, match="must not be after"):
        options(place(tmp_path), tmp_path, start="2025-07-19", end="2025-07-18")


def test_what_the_store_has_let_go_of_stays_in_the_lake(tmp_path: Path) -> None:
    where, out = place(tmp_path), tmp_path / "lake"
    store = filled(where, [on("h", at * 3_600_000) for at in range(3)])
    export(store, where, out)
    whole = in_files(out)
    while store.expire(MIDNIGHT_MS + 2 * 3_600_000):
        pass
    assert len(in_store(store)) == 1
    summary = export(store, where, out)
    assert (summary.files, summary.kept) == (0, 1)
    assert in_files(out) == whole


def test_a_gpu_that_moved_stays_where_it_was_exported(tmp_path: Path) -> None:
    where, out = place(tmp_path), tmp_path / "lake"
    store = filled(where, [on("old", 0, "GPU-a"), on("other", 0, "GPU-b")])
    export(store, where, out)
    store.write([on("new", 86_400_000, "GPU-a")])
    export(store, where, out)
    assert in_files(out) == in_store(store)
    assert files(out)[1:] == [
        f"day=2025-07-19/host=old/{PART}",
        f"day=2025-07-19/host=other/{PART}",
        f"day=2025-07-20/host=new/{PART}",
    ]


def test_a_metric_that_comes_up_meanwhile_is_exported_too(tmp_path: Path) -> None:
    store = filled(place(tmp_path), [on("h", 0)])
    begun = Export(store, options(place(tmp_path), tmp_path / "lake"))
    store.write([on("h", 1, metrics={"newcomer": 2.0})])
    begun.run()
    assert in_files(tmp_path / "lake") == in_store(store)


def test_two_exports_into_one_folder_do_not_meet(tmp_path: Path) -> None:
    filled(place(tmp_path), [on("h")]).close()
    with Folders(tmp_path / "lake").locked():
        assert run_export(options(place(tmp_path), tmp_path / "lake")) == 3
    assert run_export(options(place(tmp_path), tmp_path / "lake")) == 0


def test_a_file_that_is_no_exports_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(place(tmp_path), [on("h")]).close()
    folder = tmp_path / "lake" / "day=2025-07-19" / "host=h"
    folder.mkdir(parents=True)
    (folder / PART).write_bytes(b"somebody else's")
    assert run_export(options(place(tmp_path), tmp_path / "lake")) == 3
    assert PART in capsys.readouterr().err
    assert (folder / PART).read_bytes() == b"somebody else's"
    assert files(tmp_path / "lake") == [LOCK, f"day=2025-07-19/host=h/{PART}"]


def test_a_store_that_is_not_there_and_an_extra_that_is_missing_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_export(options(place(tmp_path), tmp_path / "lake")) == 3
    assert "t.db" in capsys.readouterr().err
    assert not (tmp_path / "t.db").exists()
    for module in [name for name in sys.modules if name.startswith("cli.export.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run_export(options(place(tmp_path), tmp_path / "lake")) == 2
    assert "telemetry-stack[parquet]" in capsys.readouterr().err


async def test_killed_in_the_middle_it_leaves_whole_files_and_the_next_run_makes_the_rest(
    tmp_path: Path,
) -> None:
    where, out = place(tmp_path), tmp_path / "lake"
    many = {f"metric{number}": float(number) for number in range(50)}
    store = filled(where, [on(host, at, metrics=many) for host in "abcdefgh" for at in range(400)])

    def hidden() -> list[Path]:
        return list(out.glob(f"day=*/host=*/{HIDDEN}"))

    process = await asyncio.create_subprocess_exec(*command(where, out), stdout=DEVNULL)
    try:
        await until(lambda: hidden() or process.returncode is not None, seconds=60)
    finally:
        process.kill()
        assert await process.wait() == -signal.SIGKILL
    expected = in_store(store)
    assert in_files(out).items() <= expected.items()
    again = await asyncio.create_subprocess_exec(*command(where, out), stdout=PIPE)
    said, _ = await again.communicate()
    assert msgspec.json.decode(said)["points"] == len(expected)
    assert in_files(out) == expected
    assert not hidden()


def test_memory_does_not_grow_with_what_is_exported(tmp_path: Path) -> None:
    """Ten million points with EXPORT_POINTS=10000000."""
    where, out = place(tmp_path), tmp_path / "lake"
    metrics = {f"metric{number}": float(number) for number in range(10)}
    moments = int(os.environ.get("EXPORT_POINTS", "100000")) // (len(metrics) * 100)
    store = open_store(where, writable=True)
    for begin in range(0, moments, 100):
        times = range(begin, min(begin + 100, moments))
        gpus = [f"GPU-{number}" for number in range(100)]
        store.write([on("h", at * 1000, uuid, metrics) for at in times for uuid in gpus])
    with subprocess.Popen(command(where, out), stdout=subprocess.PIPE) as process:
        most_kilobytes = memory_until_the_end(process)
        said, _ = process.communicate()
    assert process.returncode == 0
    assert msgspec.json.decode(said)["points"] == store.stats().points
    assert most_kilobytes < MOST_KILOBYTES
    total = ask(tmp_path, "SELECT count(*), sum(metric9), count(DISTINCT gpu_id) FROM lake")
    assert total == [(moments * 100, moments * 100 * 9.0, 100)]


def memory_until_the_end(process: subprocess.Popen[bytes]) -> int:
    """The most memory it had, looked at while it runs: what ``wait4`` says has ours in it, too."""
    most = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        if found := re.search(r"VmHWM:\s+(\d+) kB", status):
            most = int(found[1])
        time.sleep(0.01)
    assert most
    return most


def test_what_a_broken_run_left_is_removed_by_the_next_one_of_any_days(tmp_path: Path) -> None:
    left = tmp_path / "lake" / "day=2025-01-01" / "host=h" / HIDDEN
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a file")
    export(filled(place(tmp_path), [on("h")]), place(tmp_path), tmp_path / "lake")
    assert not left.exists()
