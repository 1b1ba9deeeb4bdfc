"""``python -m api``: one API, its options from the environment."""

from api.app import create_app
from api.options import ApiOptions
from common.http.server import serve

if __name__ == "__main__":
    serve(ApiOptions.load({}), create_app)
