"""The file of rejects: readable, bounded, never torn for the next one."""

import json
from pathlib import Path

from collector.rejects import FILE, OLD_FILE, Rejects
from collector.validate import Reject

NOW_MS = 1_752_871_354_000


def rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_reject_is_a_line_with_its_reason(tmp_path: Path) -> None:
    rejects = Rejects(tmp_path, 1000)
    rejects.keep([Reject("bad_json", "why", b"\xff\n{"), Reject("no_metric", "", b"{}")], NOW_MS)
    first, second = rows(tmp_path / FILE)
    assert first["rejected_at"] == "2025-07-18T20:42:34.000Z"
    assert (first["reason"], first["detail"], first["content"]) == ("bad_json", "why", "\ufffd\n{")
    assert second["reason"] == "no_metric"
    assert dict(rejects.counts) == {"bad_json": 1, "no_metric": 1}


def test_a_full_file_is_put_aside_once(tmp_path: Path) -> None:
    rejects = Rejects(tmp_path, 300)
    for number in range(20):
        rejects.keep([Reject("bad_json", str(number), b"x" * 100)], NOW_MS)
    kept = [row["detail"] for row in [*rows(tmp_path / OLD_FILE), *rows(tmp_path / FILE)]]
    assert kept == [str(number) for number in range(20 - len(kept), 20)]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2000


def test_a_torn_line_does_not_spoil_the_next(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b'{"reason": "half')
    Rejects(tmp_path, 1000).keep([Reject("bad_json", "", b"whole")], NOW_MS)
    torn, whole = (tmp_path / FILE).read_text().splitlines()
    assert torn == '{"reason": "half'
    assert json.loads(whole)["content"] == "whole"
