"""``python -m collector``: one collector, its options from the environment."""

from collector.app import create_app
from collector.options import CollectorOptions
from common.http.server import serve

if __name__ == "__main__":
    serve(CollectorOptions.load({}), create_app)
