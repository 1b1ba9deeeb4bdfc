"""The proxy's metrics, read from the truth at every scrape."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.member import Member

if TYPE_CHECKING:
    from proxy.proxy import Proxy


Rows = dict[str, tuple[str, Callable[[Member], float]]]

_GAUGES: Rows = {
    "broker_health_status": ("1 when the broker is ready.", lambda it: it.ready),
    "broker_breaker_open": (
        "1 while the broker is left alone after failures.",
        lambda it: it.breaker.state != "closed",
    ),
    "broker_draining": ("1 when the broker takes no produce.", lambda it: it.draining),
    "broker_leaving": ("1 when the broker is off the list.", lambda it: it.left_at is not None),
}
_COUNTERS: Rows = {
    "broker_requests": ("Requests to the broker.", lambda it: it.tally.requests),
    "broker_request_failures": (
        "Requests that the broker did not answer, or with 5xx.",
        lambda it: it.tally.failures,
    ),
    "broker_request_seconds": ("Time they took.", lambda it: it.tally.seconds),
    "broker_probe_failures": ("Probes without an answer.", lambda it: it.tally.probe_failures),
}


class ProxyCollector(Collector):
    """Health of the brokers as this proxy sees it, and what it had to send elsewhere."""

    def __init__(self, proxy: "Proxy") -> None:
        self._proxy = proxy

    def collect(self) -> Iterator[Metric]:
        members = list(self._proxy.members)
        for name, (text, value) in _GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=["broker"])
            for member in members:
                gauge.add_metric([member.name], value(member))
            yield gauge
        for name, (text, value) in _COUNTERS.items():
            counter = CounterMetricFamily(name, text, labels=["broker"])
            for member in members:
                counter.add_metric([member.name], value(member))
            yield counter
        failovers = CounterMetricFamily(
            "produce_failovers", "Produces that a stand-in took for the owner."
        )
        failovers.add_metric([], self._proxy.failovers)
        yield failovers
