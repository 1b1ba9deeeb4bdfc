"""The commands whose flags are an options table, and the function that each runs, by name."""

from typing import Any

from api.options import ApiOptions
from broker.options import BrokerOptions
from cli.export.options import ExportOptions
from cli.ping_options import PingOptions
from cli.scale_options import ScaleOptions
from collector.options import CollectorOptions
from proxy.options import ProxyOptions
from streamer.options import StreamerOptions

SERVICES: dict[str, tuple[Any, str, str]] = {
    "broker": (BrokerOptions, "broker.app:create_app", "Run one broker."),
    "proxy": (ProxyOptions, "proxy.app:create_app", "Run one proxy in front of brokers."),
    "streamer": (
        StreamerOptions,
        "streamer.app:create_app",
        "Run one streamer: a source into the queue.",
    ),
    "collector": (
        CollectorOptions,
        "collector.app:create_app",
        "Run one collector: the queue into a store.",
    ),
    "api": (ApiOptions, "api.app:create_app", "Run the API over a store."),
}
COMMANDS: dict[str, tuple[Any, str, str]] = {
    "scale": (
        ScaleOptions,
        "cli.scale:run_scale",
        "Empty brokers that are to go, let the others work again.",
    ),
    "export": (
        ExportOptions,
        "cli.export.command:run_export",
        "Write a store's points as Parquet, by day and host.",
    ),
    "ping": (
        PingOptions,
        "cli.ping:run_ping",
        "Send a message through the queue and back, and end.",
    ),
}
