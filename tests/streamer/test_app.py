"""The streamer as a service: from a file to the queue, its numbers, its ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.types import Message

from common.errors import Unauthorized
from common.lifecycle import Lifecycle
from common.queue.base import Producer
from streamer.app import create_app
from streamer.service import StreamerService
from tests.streamer.fakes import (
    Blocked,
    FakeClock,
    Flaky,
    Recorder,
    options,
    row,
    write_file,
)

LIMIT_SECONDS = 20


class Running:
    """A streamer in its lifespan."""

    def __init__(self, app: Starlette, lifecycle: Lifecycle) -> None:
        self.app = app
        self.lifecycle = lifecycle
        self.service: StreamerService = app.state.streamer

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the reader thread brings about."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while not condition():  # noqa: ASYNC110 - a thread brings it about, with no event
                await asyncio.sleep(0)

    async def get(self, path: str) -> tuple[int, bytes]:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
        await self.app({**scope, "root_path": "", "scheme": "http"}, receive, send)
        return sent[0]["status"], b"".join(m.get("body", b"") for m in sent)


@asynccontextmanager
async def streamer(
    producer: Producer, clock: FakeClock | None = None, **given: Any
) -> AsyncIterator[Running]:
    lifecycle = Lifecycle()
    app = create_app(options(**given), lifecycle, producer, clock or FakeClock())
    async with app.router.lifespan_context(app):
        yield Running(app, lifecycle)


def fleet_file(tmp_path: Path, seconds: int = 3) -> Path:
    rows = [
        row(uuid=uuid, metric=metric, stamp=f"2025-07-18T20:42:{second:02d}Z")
        for second in range(seconds)
        for metric in ("power", "util")
        for uuid in ("GPU-a", "GPU-b")
    ]
    return write_file(tmp_path / "fleet.csv", *rows, "spoiled", rows[-1])


async def test_a_file_ends_up_in_the_queue_and_the_books_balance(tmp_path: Path) -> None:
    queue, summary = Recorder(), tmp_path / "summary.json"
    async with streamer(
        queue, csv_path=fleet_file(tmp_path), exit_when_done=True, summary_file=summary
    ) as run:
        await run.until(run.lifecycle.stopping.is_set)
    assert run.lifecycle.exit_code == 0
    found = msgspec.json.decode(summary.read_bytes())
    expected = {
        "rows_read": 14,
        "values_read": 14,
        "missing": 0,
        "samples": 6,
        "points": 12,
        "points_published": 12,
        "duplicates": 1,
        "rejected": {"short_row": {"count": 1, "lines": [14]}},
        "gpus": 2,
        "hosts": 1,
        "metrics": 2,
        "passes": 1,
        "finished": True,
    }
    assert {name: found[name] for name in expected} == expected
    assert found["bytes_read"] == found["bytes_total"] > 0
    first, last = 1_752_871_320_000, 1_752_871_322_000
    entry = {"points": 6, "late": 0, "first": first, "last": last}
    assert found["manifest"] == {"GPU-a": entry, "GPU-b": entry}
    assert sum(len(sample.metrics) for sample in queue.samples) == 12
    assert queue.closed


async def test_without_exit_when_done_it_stays_up_and_says_it_is_finished(tmp_path: Path) -> None:
    async with streamer(Recorder(), csv_path=fleet_file(tmp_path)) as run:
        await run.until(lambda: bool(run.service.stats()["finished"]))
        status, body = await run.get("/stats")
        assert (status, msgspec.json.decode(body)["points_published"]) == (200, 12)
        assert (await run.get("/ready"))[0] == 200
        assert not run.lifecycle.stopping.is_set()


async def test_metrics_say_what_became_of_the_rows(tmp_path: Path) -> None:
    async with streamer(Recorder(), csv_path=fleet_file(tmp_path)) as run:
        await run.until(lambda: bool(run.service.stats()["finished"]))
        _, body = await run.get("/metrics")
    for line in (
        b'streamer_values_total{outcome="accepted"} 12.0',
        b'streamer_values_total{outcome="duplicate"} 1.0',
        b'streamer_values_total{outcome="short_row"} 1.0',
        b"streamer_points_published_total 12.0",
        b"streamer_buffer_batches 0.0",
    ):
        assert line in body


async def test_looping_counts_passes_and_a_repeated_point_as_late(tmp_path: Path) -> None:
    async with streamer(Recorder(), csv_path=fleet_file(tmp_path), loop=True) as run:
        await run.until(lambda: run.service.feed.passes >= 2)
        entry = run.service.feed.manifest.gpus["GPU-a"]
        assert entry.late >= 6


@pytest.mark.parametrize("text", ["", "name,age\nAda,36\n"])
async def test_a_file_that_cannot_do_ends_the_process_with_2(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    async with streamer(Recorder(), csv_path=path) as run:
        await run.until(run.lifecycle.stopping.is_set)
        assert run.lifecycle.exit_code == 2
        assert "bad.csv" in run.lifecycle.problems["streamer"]


async def test_a_queue_that_refuses_ends_the_process_with_1(tmp_path: Path) -> None:
    queue = Flaky(failures=99, error=Unauthorized("no"))
    async with streamer(queue, csv_path=fleet_file(tmp_path)) as run:
        await run.until(run.lifecycle.stopping.is_set)
    assert run.lifecycle.exit_code == 1


async def test_a_queue_that_is_away_makes_it_unready_until_it_is_back(tmp_path: Path) -> None:
    queue, clock = Flaky(failures=2), FakeClock(manual=True)
    async with streamer(queue, clock, csv_path=fleet_file(tmp_path)) as run:
        await run.until(lambda: len(run.lifecycle.problems) > 0)
        assert (await run.get("/ready"))[0] == 503
        assert (await run.get("/health"))[0] == 200
        while not run.service.stats()["finished"]:
            await clock.advance(1.0)
        assert (await run.get("/ready"))[0] == 200
    assert len(queue.samples) == 6


async def test_a_stop_publishes_what_was_read(tmp_path: Path) -> None:
    queue, clock = Blocked(), FakeClock(manual=True)
    path = fleet_file(tmp_path)
    async with streamer(queue, clock, csv_path=path, batch_size=1, buffer_batches=100) as run:
        await run.until(lambda: run.service.feed.passes == 1)
        run.lifecycle.stop()
        queue.gate.set()
    stats = run.service.stats()
    assert stats["points_published"] == stats["points"] == 12


async def test_a_stop_does_not_wait_longer_than_the_grace(tmp_path: Path) -> None:
    queue, summary = Blocked(), tmp_path / "summary.json"
    async with streamer(
        queue, csv_path=fleet_file(tmp_path), batch_size=1, buffer_batches=1, summary_file=summary
    ) as run:
        await run.until(lambda: queue.in_flight == 1)
        run.lifecycle.stop()
    found = msgspec.json.decode(summary.read_bytes())
    assert not found["finished"]
    assert found["points_published"] == 0


async def test_a_live_fleet_streams_at_the_present_time() -> None:
    queue, clock = Recorder(), FakeClock()
    async with streamer(queue, clock, generate_gpus=16, batch_size=4) as run:
        await run.until(lambda: len(queue.samples) >= 64)
    stats = run.service.stats()
    assert (stats["gpus"], stats["hosts"], stats["metrics"]) == (16, 2, 10)
    assert not stats["finished"]


async def test_batch_ids_follow_the_file_when_times_are_kept_and_the_run_when_not(
    tmp_path: Path,
) -> None:
    ids = []
    for mode, later in (("keep", 0.0), ("keep", 9.0), ("shift", 0.0), ("shift", 9.0)):
        queue, clock = Recorder(), FakeClock()
        clock.now = later
        async with streamer(
            queue, clock, csv_path=fleet_file(tmp_path), event_time=mode, exit_when_done=True
        ) as run:
            await run.until(run.lifecycle.stopping.is_set)
        ids.append(sorted(batch.batch_id for batch in queue.batches))
    assert ids[0] == ids[1]
    assert ids[2] != ids[3]


@pytest.mark.parametrize("given", [{}, {"csv_path": Path("a.csv"), "generate_gpus": 1}])
def test_exactly_one_source_must_be_given(given: dict[str, Any]) -> None:
    with pytest.raises(
        ValidationError, match="exactly one of CSV_PATH, GENERATE_GPUS, SCRAPE_TARGETS and NVML"
    ):
        options(**given)


def test_the_table_reads_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "CSV_PATH": "/data/a.csv",
        "MSG_QUEUE_ADDR": "http://proxy:7080",
        "LINGER": "500ms",
        "LOOP": "true",
        "RATE": "50",
    }.items():
        monkeypatch.setenv(name, value)
    table = options()
    assert (table.csv_path, table.queue_url.get_secret_value()) == (
        "/data/a.csv",
        "http://proxy:7080",
    )
    assert (table.linger_seconds, table.loop, table.rate) == (0.5, True, 50.0)


async def test_a_followed_file_has_batches_of_its_own_at_each_start(tmp_path: Path) -> None:
    path = tmp_path / "gpu.csv"
    path.write_text("gpu_id,temperature\n0,50\n1,51\n")
    names = []
    for started in range(2):
        queue, clock = Recorder(), FakeClock()
        clock.now = float(started)
        async with streamer(queue, clock, csv_path=path, follow=True) as run:
            await run.until(lambda queue=queue: len(queue.samples) == 2)  # type: ignore[misc]
            assert not run.service.stats()["finished"]
        names.append({batch.batch_id for batch in queue.batches})
    assert not names[0] & names[1]


def test_standard_input_is_not_looped() -> None:
    with pytest.raises(ValidationError, match="LOOP needs a file"):
        options(csv_path="-", loop=True)
