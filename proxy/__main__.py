"""``python -m proxy``: one proxy, its options from the environment."""

from common.http.server import serve
from proxy.app import create_app
from proxy.options import ProxyOptions

if __name__ == "__main__":
    serve(ProxyOptions.load({}), create_app)
