"""What the streamer measures, read from its counters when asked."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streamer.publish import Publisher
from streamer.sources.base import Progress

if TYPE_CHECKING:
    from streamer.service import StreamerService


class StreamerMetrics(Collector):
    """Registered once per service; labels come from closed sets."""

    def __init__(self, service: "StreamerService") -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        service = self._service
        manifest, publisher = service.feed.manifest, service.publisher
        yield values_family(service.feed.source.progress)
        yield counter(
            "streamer_rows", "Rows read, blank lines not.", service.feed.source.progress.rows_read
        )
        yield counter(
            "streamer_missing_values",
            "Cells that say there is no value, as [N/A].",
            service.feed.source.progress.missing,
        )
        yield counter("streamer_samples", "Samples handed to the publisher.", manifest.samples)
        yield counter(
            "streamer_points_published",
            "Points in batches that the queue has confirmed.",
            publisher.points_published if publisher else 0,
        )
        yield counter(
            "streamer_publish_retries", "Requests to the queue repeated.", service.retry.retries
        )
        yield counter("streamer_passes", "Times the source was read whole.", service.feed.passes)
        yield counter(
            "streamer_points_left_out",
            "Points of hosts that are another streamer's, or not on the list.",
            service.feed.selection.points_left_out,
        )
        yield from buffer_families(publisher)
        yield from scrape_families(service.feed.source.progress)


def buffer_families(publisher: Publisher | None) -> Iterator[Metric]:
    """What waits for the queue."""
    yield gauge(
        "streamer_buffer_batches",
        "Batches that wait to be sent or confirmed.",
        publisher.buffered_batches if publisher else 0,
    )
    yield gauge(
        "streamer_buffer_bytes",
        "Bytes of the batches that wait to be sent or confirmed.",
        publisher.buffered_bytes if publisher else 0,
    )
    yield gauge(
        "streamer_buffer_capacity_batches",
        "Batches that may wait before the source has to.",
        publisher.capacity_batches if publisher else 0,
    )


def scrape_families(progress: Progress) -> Iterator[Metric]:
    """How the targets of a source that scrapes fare; at most ``MAX_TARGETS`` of them."""
    scrapes = CounterMetricFamily(
        "streamer_scrapes", "Scrapes of targets, by how they ended.", labels=["outcome"]
    )
    for outcome, count in progress.scrapes.items():
        scrapes.add_metric([outcome], count)
    yield scrapes
    up = GaugeMetricFamily(
        "streamer_target_up", "1 while the last scrape of a target was good.", labels=["target"]
    )
    for name, state in progress.targets.items():
        up.add_metric([name], state.up)
    yield up


def values_family(progress: Progress) -> Metric:
    """Values read by what became of them: accepted, duplicate, or the reason of a reject."""
    family = CounterMetricFamily(
        "streamer_values", "Values read, by what became of them.", labels=["outcome"]
    )
    taken = progress.values_read - progress.rejects.total - progress.duplicates
    family.add_metric(["accepted"], max(0, taken))
    family.add_metric(["duplicate"], progress.duplicates)
    for reason, count in progress.rejects.counts.items():
        family.add_metric([reason], count)
    return family


def counter(name: str, help_text: str, value: float) -> Metric:
    """A counter without labels; ``_total`` is added to its name."""
    return CounterMetricFamily(name, help_text, value=value)


def gauge(name: str, help_text: str, value: float) -> Metric:
    """A gauge without labels."""
    return GaugeMetricFamily(name, help_text, value=value)
