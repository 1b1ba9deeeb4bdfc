"""The collector's HTTP face: health and numbers."""

from starlette.applications import Starlette

from collector.collector import Collector
from collector.options import CollectorOptions
from common.auth import ServiceToken
from common.clock import Clock
from common.http.service import create_service_app
from common.journal.files import Files
from common.lifecycle import Lifecycle


def create_app(
    options: CollectorOptions,
    lifecycle: Lifecycle,
    clock: Clock | None = None,
    files: Files | None = None,
) -> Starlette:
    """Build the collector's app; the collector itself starts with the app's lifespan."""
    collector = Collector(options, lifecycle, clock, files)
    app = create_service_app(collector, [], ServiceToken(options.service_token))
    app.state.collector = collector
    return app
