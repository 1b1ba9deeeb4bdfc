"""The API's options."""

from pathlib import Path

from common.options import Seconds, option
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
