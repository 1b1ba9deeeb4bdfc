"""``python -m streamer``: the service alone, from its environment."""

from common.http.server import serve
from streamer.app import create_app
from streamer.dry_run import dry_run
from streamer.options import StreamerOptions

if __name__ == "__main__":
    exit_code = dry_run({})
    if exit_code is not None:
        raise SystemExit(exit_code)
    serve(StreamerOptions.load({}), create_app)
