"""The commands whose flags are an options table: what each reads and runs, by name.

A name is "module:object", imported when it is needed: no command waits for the code of the others.
"""

from pkgutil import resolve_name
from typing import Any, NamedTuple


class Command(NamedTuple):
    """``work`` is a service's ``create_app``, or a function of options to an exit code.

    ``instead`` is asked before a service is run, see `service_command`.
    """

    table: str
    work: str
    text: str
    instead: str = ""

    @property
    def options(self) -> Any:
        """The options table."""
        return resolve_name(self.table)


SERVICES = {
    "broker": Command("broker.options:BrokerOptions", "broker.app:create_app", "Run one broker."),
    "proxy": Command(
        "proxy.options:ProxyOptions",
        "proxy.app:create_app",
        "Run one proxy in front of brokers.",
    ),
    "streamer": Command(
        "streamer.options:StreamerOptions",
        "streamer.app:create_app",
        "Run one streamer: a source into the queue.",
        instead="streamer.dry_run:dry_run",
    ),
    "collector": Command(
        "collector.options:CollectorOptions",
        "collector.app:create_app",
        "Run one collector: the queue into a store.",
    ),
    "api": Command("api.options:ApiOptions", "api.app:create_app", "Run the API over a store."),
}
COMMANDS = {
    "scale": Command(
        "cli.scale_options:ScaleOptions",
        "cli.scale:run_scale",
        "Empty brokers that are to go, let the others work again.",
    ),
    "export": Command(
        "cli.export.options:ExportOptions",
        "cli.export.command:run_export",
        "Write a store's points as Parquet, by day and host.",
    ),
    "ping": Command(
        "cli.ping_options:PingOptions",
        "cli.ping:run_ping",
        "Send a message through the queue and back, and end.",
    ),
}
TABLES = SERVICES | COMMANDS
