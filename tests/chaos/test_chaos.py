"""The stack under seeded chaos keeps its promises; a stack that does not is found out.

CHAOS_SECONDS and CHAOS_SEED make the run longer, or other; `telemetry chaos` is the same run.
"""

import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from cli.chaos.audit import Audit
from cli.chaos.books import given_up, imbalances, left
from cli.chaos.disk import Disk, WitnessedFiles
from cli.chaos.oracle import Oracle, Order, payload_of
from cli.chaos.outcome import Outcome
from cli.chaos.plan import ChaosPlan, settings_of
from cli.chaos.points import Compared
from cli.chaos.report import render

SECONDS = float(os.environ.get("CHAOS_SECONDS", "15"))
SEED = int(os.environ.get("CHAOS_SEED", "20261125"))
MINUTES_TO_FIND = 3
AROUND_SECONDS = 300  # start, the last strike, a broker that drains, and rest


@pytest.mark.timeout(SECONDS + AROUND_SECONDS)
def test_under_chaos_every_promise_holds() -> None:
    command = [sys.executable, "-m", "cli", "chaos", "--json"]
    options = ["--seed", str(SEED), "--minutes", str(SECONDS / 60)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert report["broken"] == [], done.stdout
    assert done.returncode == 0
    assert report["held"]
    assert report["queue"]["answered"] == report["queue"]["delivered"] > 0
    assert report["points"]["stored"] >= report["points"]["produced"] > 0
    assert report["scrapes"] > SECONDS / 2
    assert report["drain_seconds"] < 60
    assert len(report["history"]) > SECONDS / 10


@pytest.mark.timeout(MINUTES_TO_FIND * 60)
@pytest.mark.parametrize(
    ("way", "strike", "promise"),
    [
        ("acks-before-the-fsync", "cut-power-broker", "P1 acks"),
        ("lease-that-never-expires", "pause-streamer", "P6 visibility"),
        ("spool-trimmed-early", "kill-collector", "P13 collector"),
    ],
)
def test_what_is_broken_on_purpose_is_found(way: str, strike: str, promise: str) -> None:
    command = [sys.executable, "-m", "tests.chaos.judge", way, strike]
    for seed in itertools.count(1):  # until it is found, or time is up
        done = subprocess.run([*command, str(seed)], capture_output=True, text=True, check=False)
        if done.returncode:
            break
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert not report["held"]
    assert any(promise in broken["promise"] for broken in report["broken"]), report["broken"]


def test_a_power_cut_takes_what_was_not_synced_and_nothing_else(tmp_path: Path) -> None:
    ends = set()
    for seed in range(40):
        disk, data = Disk(tmp_path / f"{seed}.disk"), tmp_path / f"{seed}"
        data.mkdir()
        files = WitnessedFiles(disk.directory)
        file = files.append_to(data / "log")
        file.write([b"synced"])
        file.sync()
        file.write([b" or not"])
        other = files.append_to(data / "new")
        other.write([b"never"])
        lost = disk.cut_power(data, random.Random(seed))
        assert (data / "log").read_bytes().startswith(b"synced")
        assert lost <= len(b" or notnever")
        ends.add((data / "log").read_bytes())
        file.close()
        other.close()
        kept = (data / "log").read_bytes()
        assert disk.cut_power(data, random.Random(1)) == 0  # what a cut left is on the platter
        assert (data / "log").read_bytes() == kept
    assert {b"synced", b"synced or"} <= ends
    assert any(end.endswith(b"\0") for end in ends)


def test_what_was_cut_off_a_file_and_written_anew_is_not_synced(tmp_path: Path) -> None:
    disk, data = Disk(tmp_path / "disk"), tmp_path / "data"
    data.mkdir()
    file = WitnessedFiles(disk.directory).append_to(data / "log")
    file.write([b"0123456789"])
    file.sync()
    file.truncate(4)
    file.write([b"new bytes"])
    file.close()
    least = min((cut_copy(disk, data, tmp_path / f"{seed}", seed) for seed in range(20)), key=len)
    assert least == b"0123"


def cut_copy(disk: Disk, data: Path, copy: Path, seed: int) -> bytes:
    """What a power cut would leave of a file, of itself: a cut changes it."""
    content, ledger = (data / "log").read_bytes(), (disk.directory / "synced").read_bytes()
    disk.cut_power(data, random.Random(seed))
    left_over = (data / "log").read_bytes()
    (data / "log").write_bytes(content)
    (disk.directory / "synced").write_bytes(ledger)
    return left_over.rstrip(b"\0")


def test_a_disk_has_moods(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk")
    file = WitnessedFiles(disk.directory).append_to(tmp_path / "log")
    disk.set_mood("failing")
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    disk.calm()
    file.sync()
    file.close()


def test_the_same_seed_is_the_same_run() -> None:
    one, again, other = (ChaosPlan(seed, 60.0) for seed in (7, 7, 8))
    assert settings_of(one) == settings_of(again) != settings_of(other)


def test_the_verdict_names_every_promise_that_was_broken() -> None:
    plan = ChaosPlan(1, 60.0)
    outcome = Outcome(plan, settings_of(plan), drain_seconds=1.0)
    assert outcome.broken() == []
    assert "all promises held" in render(outcome)
    outcome.oracle = Oracle(tried={"a", "b", "c"}, stored={"a", "b"})
    outcome.oracle.keep([outcome.oracle.deliver(payload_of("a"))])
    outcome.oracle.deliver(payload_of("x"))
    outcome.oracle.deliver(payload_of("c")[:-1])
    outcome.oracle.refuse("WRONG_BROKER", listed=True)
    outcome.order = Order()
    outcome.order.look("broker-0", 0, 5, 1, ["a"])
    outcome.order.look("broker-0", 0, 3, 1, ["b"])
    outcome.order.look("broker-0", 0, 7, 1, ["a"])
    outcome.audit = Audit(
        imbalances=["here"], deaths=["proxy-0 ended by itself with 1"], given_up={"t/g dead": 1}
    )
    outcome.compared = Compared(10, 1, 1, 1, 1, ["GPU-1"])
    outcome.complaints, outcome.drain_seconds = ["broker-0 did not stop"], None
    found = [broken.promise for broken in outcome.broken()]
    queue = ["P1", "P2", "P3", "P3", "P4", "P5", "P6", "P12", "P16"]
    wanted = [*queue, *4 * ["P13"], "P11", "P2,", "no"]
    assert [promise.split()[0] for promise in found] == wanted
    assert all(f"BROKEN {promise}" in render(outcome) for promise in found)


@pytest.mark.parametrize(
    ("why", "listed", "astray"),
    [
        ("STALE", True, False),
        ("WRONG_BROKER", False, True),
        ("UNKNOWN_BROKER", True, True),
        ("UNKNOWN_BROKER", False, False),
    ],
)
def test_an_ack_to_a_broker_that_left_is_not_astray(why: str, listed: bool, astray: bool) -> None:
    oracle = Oracle()
    oracle.refuse(why, listed)
    assert (oracle.refused, bool(oracle.astray)) == ({why: 1}, astray)


def test_order_is_forgotten_where_the_power_was_cut() -> None:
    order = Order()
    order.look("broker-0", 0, 10, 1, ["answered", "not"])
    order.forget("broker-0", {"answered"})
    order.look("broker-0", 0, 11, 1, ["not-either", "not"])
    assert (order.wrong, order.twice) == ([], set())
    order.look("broker-0", 0, 13, 1, ["answered"])
    assert order.twice == {"answered"}


def test_what_a_cut_line_kept_comes_again_behind_what_came_since() -> None:
    """It is new to the consumer only; a first delivery behind another is out of order."""
    order = Order()
    order.look("broker-0", 0, 5, 1, ["e"])
    order.look("broker-0", 0, 2, 2, ["b"])
    assert order.wrong == []
    order.look("broker-0", 0, 3, 1, ["c"])
    assert order.wrong == ["c at broker-0:0:3 after 5"]


def test_what_another_has_acked_need_not_come_again() -> None:
    """A consumer that was held up keeps what is no more its own."""
    oracle = Oracle()
    names = [oracle.deliver(payload_of(name)) for name in ("a", "b")]
    oracle.settled.update(names[:1])
    oracle.keep(names)
    assert oracle.never_again() == {"b"}


def test_books_that_do_not_balance_are_seen() -> None:
    place = '{partition="0",topic="t"'
    text = "\n".join(
        [
            f"messages_produced_total{place}}} 5.0",
            f'group_ready{place},group="g"}} 1.0',
            f'group_in_flight{place},group="g"}} 2.0',
            f'messages_consumed_total{place},group="g"}} 1.0',
            f'messages_lost_total{place},group="g"}} 1.0',
        ]
    )
    assert imbalances(text) == []
    assert (left(text, "t", "g"), left(text, "t", "other"), left(text, "u", "g")) == (3, 5, 0)
    assert given_up(text) == {"t/g messages_lost_total": 1}
    assert imbalances(text.replace("5.0", "6.0"))


def test_a_process_that_grows_is_named() -> None:
    audit = Audit()
    for second in range(300):
        audit.note_at(second, ("flat", 1), 100 << 20, 20)
        audit.note_at(second, ("bursts", 1), 100 << 20, 120 if 235 < second < 290 else 20)
        audit.note_at(second, ("grows", 1), (100 + second) << 20, 20)
        audit.note_at(second, ("leaks", 1), 100 << 20, 20 + second)
        audit.note_at(second, ("leaks", 2), (100 << 20) + (second << 10), 20)
        if second < 90:
            audit.note_at(second, ("young", 1), (100 + 9 * second) << 20, 20)
    assert [leak.split()[0] for leak in audit.leaks()] == ["grows", "leaks"]


def test_a_strike_that_is_none_is_named() -> None:
    command = [sys.executable, "-m", "cli", "chaos", "--only", "kill-cat"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "kill-cat" in done.stderr
