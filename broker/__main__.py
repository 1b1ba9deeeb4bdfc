"""``python -m broker``: one broker, its options from the environment."""

from broker.app import create_app
from broker.options import BrokerOptions
from common.http.server import serve

if __name__ == "__main__":
    serve(BrokerOptions.load({}), create_app)
