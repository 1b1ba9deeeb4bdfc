"""The streamer's HTTP face: how it is, how far it has come."""

from starlette.applications import Starlette

from common.auth import ServiceToken
from common.clock import Clock
from common.http.service import create_service_app
from common.lifecycle import Lifecycle
from common.queue.base import Producer
from streamer.options import StreamerOptions
from streamer.service import StreamerService


def create_app(
    options: StreamerOptions,
    lifecycle: Lifecycle,
    producer: Producer | None = None,
    clock: Clock | None = None,
) -> Starlette:
    """Build the streamer's app; it starts to stream with the app's lifespan."""
    service = StreamerService(options, lifecycle, producer, clock)
    app = create_service_app(service, (), ServiceToken(options.service_token))
    app.state.streamer = service
    return app
