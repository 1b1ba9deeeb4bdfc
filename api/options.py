"""The API's options."""

from pathlib import Path

from common.options import Bytes, Names, Seconds, option
from common.queue.options import QUEUE_HELP, MaybeQueueUrl, queue_option
from common.storage.options import StoreOptions

DEFAULT_PORT = 8080


class ApiOptions(StoreOptions):
    """What the API takes."""

    port: int = option(
        "PORT", DEFAULT_PORT, "Port to listen on; 0 takes a free one.", ge=0, le=65535
    )
    api_keys_file: Path = option(
        "API_KEYS_FILE", ..., "File of API keys (JSON, hashed); read again when it changes."
    )
    rate_limit: int = option(
        "RATE_LIMIT", 0, "Requests a second that one key may make; 0 is no limit.", ge=0, le=1 << 20
    )
    rate_burst: int = option(
        "RATE_BURST",
        100,
        "Requests a key may make at once, with RATE_LIMIT.",
        ge=1,
        le=1 << 20,
    )
    cors_origins: Names = option(
        "CORS_ORIGINS", (), "Origins whose pages may ask, such as https://ops.example; * is any."
    )
    queue_url: MaybeQueueUrl = queue_option(
        "", f"{QUEUE_HELP} Without it no telemetry can be posted."
    )
    topic: str = option("MSG_QUEUE_TOPIC", "telemetry", "Topic that posted telemetry goes to.")
    max_body_bytes: Bytes = option(
        "MAX_BODY_BYTES", 8 << 20, "Largest body taken.", ge=1024, le=1 << 30
    )
    max_limit: int = option(
        "MAX_LIMIT", 10_000, "Most entries or points in one answer.", ge=1, le=1_000_000
    )
    store_threads: int = option(
        "STORE_THREADS", 2, "Questions put to the store at the same time.", ge=1, le=64
    )
    store_waiting: int = option(
        "STORE_WAITING", 512, "Questions under way or waiting before 429 is answered.", ge=1
    )
    store_timeout_seconds: Seconds = option(
        "STORE_TIMEOUT", 10.0, "Longest wait for the store before 503 is answered.", gt=0, le=600
    )
    live_interval_seconds: Seconds = option(
        "LIVE_INTERVAL", 1.0, "How often live streams look for new points.", ge=0.01, le=60
    )
    max_streams: int = option("MAX_STREAMS", 100, "Live streams open at once.", ge=1, le=100_000)
    max_exports: int = option("MAX_EXPORTS", 50, "Exports under way at once.", ge=1, le=100_000)
    heartbeat_seconds: Seconds = option(
        "HEARTBEAT", 15.0, "Longest silence of a live stream.", gt=0, le=60
    )
