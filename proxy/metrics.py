"""The proxy's metrics, read from the truth at every scrape."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from proxy.proxy import Proxy


class ProxyCollector(Collector):
    """Health of the brokers as this proxy sees it, and what it had to send elsewhere."""

    def __init__(self, proxy: "Proxy") -> None:
        self._proxy = proxy

    def collect(self) -> Iterator[Metric]:
        health = GaugeMetricFamily(
            "broker_health_status", "1 when the broker is ready.", labels=["broker"]
        )
        for member in self._proxy.members:
            health.add_metric([member.name], int(member.ready))
        yield health
        failovers = CounterMetricFamily(
            "produce_failovers", "Produces that a stand-in took for the owner."
        )
        failovers.add_metric([], self._proxy.failovers)
        yield failovers
