"""``python -m streamer``: the service alone, from its environment."""

from common.http.server import serve
from streamer.app import create_app
from streamer.options import StreamerOptions

if __name__ == "__main__":
    serve(StreamerOptions.load({}), create_app)
