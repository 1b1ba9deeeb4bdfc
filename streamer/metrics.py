"""What the streamer measures, read from its counters when asked."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

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
        yield rows_family(service.feed.source.progress)
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
        yield gauge(
            "streamer_buffer_batches",
            "Batches that wait to be sent or confirmed.",
            publisher.buffered_batches if publisher else 0,
        )
        yield gauge(
            "streamer_buffer_capacity_batches",
            "Batches that may wait before the source has to.",
            publisher.capacity_batches if publisher else 0,
        )


def rows_family(progress: Progress) -> Metric:
    """Rows read by what became of them: accepted, duplicate, or the reason of a reject."""
    family = CounterMetricFamily(
        "streamer_rows", "Rows read, by what became of them.", labels=["outcome"]
    )
    taken = progress.rows_read - progress.rejects.total - progress.duplicates
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
