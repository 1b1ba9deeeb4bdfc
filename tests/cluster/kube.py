"""A client of the API server, of as much as the tests need."""

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

Object = dict[str, Any]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
ANSWER_SECONDS = 20.0


class KubeError(Exception):
    """The API server refused; ``code`` is the status."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class Kube:
    """Requests as one user of the cluster, who may do everything."""

    def __init__(self, port: int, token: str) -> None:
        self.url = f"https://127.0.0.1:{port}"
        self._token = token
        self._trust = ssl._create_unverified_context()  # it made its certificate a moment ago

    def request(
        self, method: str, path: str, body: Object | None = None, kind: str = "application/json"
    ) -> Any:
        """One request; the answer's JSON. Raises KubeError, and OSError while it is away."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": kind},
        )
        try:
            with urllib.request.urlopen(
                request, timeout=ANSWER_SECONDS, context=self._trust
            ) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise KubeError(error.code, error.read().decode()) from error
        try:
            return json.loads(text)
        except ValueError:
            return text.decode()

    def list(self, path: str) -> list[Object]:
        """The items of a collection."""
        found: list[Object] = self.request("GET", path)["items"]
        return found

    def create(self, path: str, body: Object) -> Any:
        """Make an object; one that is there already stays as it is."""
        try:
            return self.request("POST", path, body)
        except KubeError as error:
            if error.code != 409:
                raise
            return None

    def core(self, namespace: str, kind: str, name: str = "") -> str:
        """The path of an object, or a collection, of the core group."""
        return f"/api/v1/namespaces/{namespace}/{kind}" + (f"/{name}" if name else "")
