"""The parts of a streamer from its options."""

import asyncio

import xxhash

from common.clock import Clock
from common.queue.base import Producer
from streamer.checkpoint import FileKeeper
from streamer.feed import Feed, Stages
from streamer.lane import MAX_BATCHES_PER_SEND, Outlet
from streamer.options import StreamerOptions
from streamer.pacing import Pacer
from streamer.place import Keeper
from streamer.selection import Selection
from streamer.sources.base import Source
from streamer.sources.scrape import ScrapePlan, ScrapeSource
from streamer.sources.scraper import ScrapeLimits
from streamer.timing import KeepTime, event_time

MS_PER_SECOND = 1000
MOST_COLLECTED = 10_000  # samples in a batch of COLLECT_INTERVAL


def make_feed(
    options: StreamerOptions, source: Source, keeper: Keeper, clock: Clock, ending: asyncio.Event
) -> Feed:
    """Put the path from the source to the publisher together."""
    timing = KeepTime() if source.live else event_time(options.event_time, clock)
    selection = Selection(options.hostname_list, options.shard_index, options.shard_count)
    stages = Stages(selection, make_pacer(options, clock), timing)
    return Feed(source, stages, keeper, clock, ending)


def make_pacer(options: StreamerOptions, clock: Clock) -> Pacer:
    """Hold the rate of samples or the delay of rows, whichever is given."""
    if options.csv_delay_ms:
        return Pacer(MS_PER_SECOND / options.csv_delay_ms, clock, by_row=True)
    return Pacer(options.rate, clock)


def make_keeper(
    options: StreamerOptions, live: bool, clock: Clock, problems: dict[str, str]
) -> FileKeeper | None:
    """Keep the place in a file that is read; the present has none to go back to."""
    if options.checkpoint_file is None or live:
        return None
    interval_seconds = options.checkpoint_interval_seconds
    return FileKeeper(options.checkpoint_file, interval_seconds, clock, problems)


def make_scrape(options: StreamerOptions, clock: Clock) -> ScrapeSource:
    """Scrape the targets of the options; a scrape is over when the next one is due."""
    interval_seconds = options.scrape_interval_seconds
    limits = ScrapeLimits(
        interval_ms=round(interval_seconds * MS_PER_SECOND),
        timeout_seconds=min(options.scrape_timeout_seconds, interval_seconds),
        max_bytes=options.scrape_max_bytes,
    )
    plan = ScrapePlan(options.scrape_targets, options.scrape_targets_file, limits)
    return ScrapeSource(plan, clock)


def make_outlet(
    options: StreamerOptions, producer: Producer, partitions: int, content: str
) -> Outlet:
    """Say where all lanes lead. With a checkpoint each batch has a key of its own."""
    kept = options.checkpoint_file is not None
    collects = options.collect_interval_seconds > 0
    return Outlet(
        producer=producer,
        topic=options.topic,
        partitions=partitions,
        instance_id=options.instance_id,
        content=content,
        batch_size=MOST_COLLECTED if collects else options.batch_size,
        linger_seconds=options.linger_seconds,
        buffer_batches=options.buffer_batches,
        buffer_bytes=options.buffer_bytes // partitions,
        batches_per_send=1 if kept else MAX_BATCHES_PER_SEND,
        workers=asyncio.Semaphore(options.workers) if options.workers else None,
    )


def content_name(options: StreamerOptions, feed: Feed, source_name: str) -> str:
    """Name the samples of a run: equal only where the same samples come in the same order."""
    if feed.source.live:
        return "-".join(filter(None, [source_name, feed.selection.name]))
    parts = [source_name, reading_name(options), feed.selection.name, time_mode(options)]
    return "-".join(filter(None, parts))


def reading_name(options: StreamerOptions) -> str:
    """Name what decides how a file is understood, empty when it is left to the file."""
    told = [*options.csv_columns, options.csv_hostname, options.csv_timezone]
    if told == ["", "UTC"]:
        return ""
    return xxhash.xxh3_64_hexdigest("\n".join(told).encode())


def time_mode(options: StreamerOptions) -> str:
    """The mode of event times, empty for those of the source."""
    return "" if options.event_time == "keep" else options.event_time
