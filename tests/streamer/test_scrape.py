"""Many targets over HTTP, each in its own time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path

import pytest

from common.models import Sample
from streamer.sources.base import SourceError
from streamer.sources.scrape import WAITING_ANSWERS, ScrapePlan, ScrapeSource
from streamer.sources.scraper import ScrapeLimits
from streamer.sources.targets import TargetList, parse_target
from tests.streamer.fakes import FakeClock, Recorder, options, settle
from tests.streamer.test_app import streamer
from tests.support.faulty import FaultyBroker, http_answer, opened
from tests.support.waiting import until

INTERVAL_MS = 1000
TIMEOUT_SECONDS = 5.0
MAX_BYTES = 50_000


def text(host: str) -> bytes:
    """What an exporter of two GPUs answers."""
    lines = [
        f'{metric}{{gpu="{n}",UUID="GPU-{host}-{n}",Hostname="{host}"}} {n}'
        for metric in ("DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_POWER_USAGE")
        for n in range(2)
    ]
    return "\n".join(["# HELP DCGM_FI_DEV_GPU_TEMP x", *lines, ""]).encode()


def exporter(host: str) -> FaultyBroker:
    return FaultyBroker(host, http_answer(200, text(host)))


@contextlib.asynccontextmanager
async def scraping(
    *exporters: FaultyBroker,
    clock: FakeClock,
    path: Path | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> AsyncIterator[ScrapeSource]:
    """A source of these exporters, which are open."""
    async with opened(*exporters):
        targets = tuple(each.url.removeprefix("http://") for each in exporters)
        limits = ScrapeLimits(INTERVAL_MS, timeout_seconds, MAX_BYTES)
        source = ScrapeSource(ScrapePlan(targets, path, limits), clock)
        try:
            await source.open()
            yield source
        finally:
            await source.close()


async def collect(
    source: ScrapeSource, clock: FakeClock, enough: Callable[[list[Sample]], bool]
) -> list[Sample]:
    """Let time pass, a tenth of an interval at a time, until enough has come."""
    samples: list[Sample] = []
    async with asyncio.timeout(20):
        while not enough(samples):
            await clock.advance(INTERVAL_MS / 10_000)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    samples += await source.read() or []
    return samples


def outcomes(source: ScrapeSource) -> list[str]:
    return [state.outcome for state in source.progress.targets.values()]


async def test_samples_are_stamped_evenly_at_each_targets_own_moment() -> None:
    clock = FakeClock(manual=True)
    async with scraping(exporter("a"), exporter("b"), clock=clock) as source:
        samples = await collect(source, clock, lambda some: len(some) >= 24)
    for gpu in ("GPU-a-0", "GPU-a-1", "GPU-b-0", "GPU-b-1"):
        stamps = [s.timestamp for s in samples if s.gpu.uuid == gpu]
        assert len(stamps) >= 4
        assert {b - a for a, b in pairwise(stamps)} == {INTERVAL_MS}
    assert outcomes(source) == ["ok", "ok"]
    assert source.progress.rows_read == sum(len(s.metrics) for s in samples)


BROKEN: dict[str, bytes | None] = {
    "garbage": http_answer(200, b"<html>502</html>"),
    "bad_status": http_answer(500, b"no"),
    "too_large": http_answer(200, b"# " + b"x" * MAX_BYTES),
    "no_gpus": http_answer(200, b"go_goroutines 1\n"),
    "unreachable": b"nonsense\r\n\r\n",
    "timeout": None,
}


async def test_what_hangs_dies_or_answers_garbage_delays_no_other_and_is_named() -> None:
    clock = FakeClock(manual=True)
    broken = [FaultyBroker(name, answer) for name, answer in BROKEN.items()]
    dead = FaultyBroker("dead", None)
    good = [exporter(f"host-{n}") for n in range(3)]
    async with opened(dead):
        await dead.shut()
        async with scraping(*broken, *good, clock=clock, timeout_seconds=0.5) as source:
            samples = await collect(source, clock, lambda some: len(some) >= 30)
            await until(lambda: "" not in outcomes(source))
            assert outcomes(source) == [*BROKEN, "ok", "ok", "ok"]
            assert {sample.gpu.hostname for sample in samples} == {"host-0", "host-1", "host-2"}
            assert all(state.reason for state in source.progress.targets.values() if not state.up)


async def test_a_target_that_is_back_is_taken_again() -> None:
    clock, target = FakeClock(manual=True), exporter("a")
    async with scraping(target, clock=clock) as source:
        await target.shut()
        async with asyncio.timeout(20):
            while outcomes(source) != ["unreachable"]:
                await clock.advance(0.25)
                await asyncio.sleep(0.002)
        await target.open()
        assert await collect(source, clock, bool)
        assert outcomes(source) == ["ok"]
        assert next(iter(source.progress.targets.values())).failures >= 1


async def test_answers_that_nobody_takes_are_bounded_and_missed_scrapes_counted() -> None:
    clock = FakeClock(manual=True)
    async with scraping(exporter("a"), clock=clock) as source:
        async with asyncio.timeout(30):
            while source.progress.scrapes["ok"] < WAITING_ANSWERS + 1:
                await clock.advance(0.5)
                await asyncio.sleep(0)
        for _ in range(20):
            await clock.advance(1.0)
        assert source.progress.scrapes["ok"] == WAITING_ANSWERS + 1
        assert len(await source.read() or []) >= 2 * WAITING_ANSWERS
        await until(lambda: source.progress.scrapes["missed"] >= 19)


async def test_the_file_of_targets_is_read_again(tmp_path: Path) -> None:
    clock, path = FakeClock(manual=True), tmp_path / "targets"
    a, b = exporter("a"), exporter("b")
    async with opened(a, b):
        path.write_text(f"{a.url}  # the first\n\n")
        async with scraping(clock=clock, path=path) as source:
            assert await collect(source, clock, bool)
            path.write_text(f"{b.url}\n")
            hosts = await collect(
                source, clock, lambda some: any(s.gpu.hostname == "b" for s in some)
            )
            assert hosts
            assert list(source.progress.targets) == [f"{b.url}/metrics"]
            path.unlink()
            await clock.advance(5.0)
            await settle()
            assert await collect(source, clock, bool)


@pytest.mark.parametrize("target", ["ftp://a", "http://", "a b:1", "http://a:99999", ""])
def test_what_is_no_target_is_refused(target: str) -> None:
    with pytest.raises(SourceError, match="is no target"):
        parse_target(target)


def test_a_target_is_host_and_port_or_a_url_and_named_without_its_password() -> None:
    assert parse_target("gpu-1:9400").url == "http://gpu-1:9400/metrics"
    found = parse_target("https://me:secret@gpu-1/custom?x=1")
    assert found.url == "https://me:secret@gpu-1/custom?x=1"
    assert found.name == "https://gpu-1/custom?x=1"
    assert found.host == "gpu-1"


def test_a_target_named_twice_is_scraped_once(tmp_path: Path) -> None:
    path = tmp_path / "targets"
    path.write_text("a:9400\nb:9400\n")
    targets = TargetList(("a:9400",), path).read()
    assert [target.host for target in targets] == ["a", "b"]


async def test_the_service_tells_how_its_targets_fare() -> None:
    clock, queue = FakeClock(manual=True), Recorder()
    dead = FaultyBroker("dead", http_answer(503, b""))
    target = exporter("a")
    async with opened(target, dead):
        urls = (target.url, dead.url)
        async with streamer(
            queue, clock, scrape_targets=urls, scrape_interval_seconds=1.0, batch_size=1
        ) as run:
            async with asyncio.timeout(20):
                while len(queue.samples) < 4:
                    await clock.advance(0.1)
                    await asyncio.sleep(0.005)
            stats = run.service.stats()
            assert stats["targets"][f"{target.url}/metrics"]["up"]
            assert stats["targets"][f"{dead.url}/metrics"]["outcome"] == "bad_status"
            _, body = await run.get("/metrics")
    assert f'streamer_target_up{{target="{target.url}/metrics"}} 1.0'.encode() in body
    assert f'streamer_target_up{{target="{dead.url}/metrics"}} 0.0'.encode() in body
    assert b'streamer_scrapes_total{outcome="bad_status"}' in body


async def test_a_password_in_a_target_is_shown_nowhere() -> None:
    clock = FakeClock(manual=True)
    table = options(scrape_targets="http://me:hunter22@127.0.0.1:1/metrics")
    async with streamer(Recorder(), clock, scrape_targets=table.scrape_targets) as run:
        async with asyncio.timeout(20):
            while not run.service.feed.source.progress.scrapes["unreachable"]:
                await clock.advance(1.0)
                await asyncio.sleep(0.005)
        told = str(run.service.stats()) + str((await run.get("/metrics"))[1])
    assert "hunter22" not in told


async def test_what_was_scraped_is_published_at_a_stop() -> None:
    clock, queue, target = FakeClock(manual=True), Recorder(), exporter("a")
    async with opened(target):
        urls = options(scrape_targets=target.url).scrape_targets
        async with streamer(
            queue, clock, scrape_targets=urls, scrape_interval_seconds=1.0, rate=0.01
        ) as run:
            scrapes = run.service.feed.source.progress.scrapes
            async with asyncio.timeout(20):
                while scrapes["ok"] < 5:
                    await clock.advance(0.1)
                    await asyncio.sleep(0.005)
            assert len(queue.samples) < 4
            run.lifecycle.stop()
    assert len(queue.samples) == 2 * scrapes["ok"]
