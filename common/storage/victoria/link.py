"""The way to a VictoriaMetrics server, or to a cluster: lines go in, series come out."""

import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import urllib3

from common.errors import StoreUnavailable
from common.storage.base import StoreRefused
from common.storage.bodies import bodies, packed
from common.storage.victoria.answers import failures, raise_for
from common.storage.victoria.server import Server, read_server
from common.storage.victoria.shapes import NAMES, SERIES, SNAPSHOT, VECTOR, Element, Series

CHUNK_BYTES = 1 << 16
MAX_ANSWER_BYTES = 256 << 20
MAX_ERROR_BYTES = 1 << 16
ROWS_PER_LINE = 10_000
CONNECTIONS = 16
SERVER_SECONDS = 60.0
"""How long what a server was started with is believed."""

Params = Sequence[tuple[str, str]]


class Places(NamedTuple):
    """Where lines go in, where questions go, and whose page of metrics and snapshots are meant."""

    insert: str
    select: str
    server: str

    @classmethod
    def single(cls, url: str) -> "Places":
        """A server that is all three."""
        return cls(*[url.rstrip("/")] * 3)

    @classmethod
    def cluster(cls, insert_url: str, select_url: str) -> "Places":
        """The addresses of a cluster; its page of metrics is beside those of its tenants."""
        select = urlsplit(select_url)
        return cls(
            insert_url.rstrip("/"), select_url.rstrip("/"), f"{select.scheme}://{select.netloc}"
        )


class Link:
    """Requests to one server, each answered or failed within a time; for any thread.

    Every method raises StoreUnavailable, and StoreRefused where trying again does not help.
    What is answered with anything but series raises some ValueError.
    """

    def __init__(
        self,
        places: Places,
        headers: Mapping[str, str],
        timeout_seconds: float,
        ca_file: Path | None = None,
    ) -> None:
        """``headers`` are the credentials."""
        self.where = f"VictoriaMetrics at {places.select}"
        self._places = places
        self._headers = dict(headers)
        self._timeout_seconds = timeout_seconds
        self._ca_file = ca_file
        self._server: tuple[float, Server] | None = None

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        """The connections; who only opens a store never fails."""
        try:
            trust = ssl.create_default_context(cafile=self._ca_file)
        except OSError as error:
            raise StoreRefused(f"{self.where}: no CAs in {self._ca_file}: {error}") from error
        timeout = urllib3.Timeout(self._timeout_seconds)
        return urllib3.PoolManager(
            maxsize=CONNECTIONS, retries=False, timeout=timeout, ssl_context=trust
        )

    def close(self) -> None:
        """Close the connections."""
        if "_pool" in vars(self):
            self._pool.clear()

    def check(self) -> None:
        """Return when questions are answered."""
        self.ask("vector(1)", 0)

    def send(self, lines: Iterable[bytes]) -> None:
        """Write lines, some thousands a request; the server has them in memory when it answers.

        Raises WriteRefused for a request that is too large for it.
        """
        for body in bodies(lines):
            head = {**self._headers, "Content-Encoding": "gzip"}
            url = f"{self._places.insert}/api/v1/import"
            with self._request("POST", url, packed(body), head, writing=True) as answer:
                self._read(answer)

    def export(
        self, selectors: Iterable[str], start_ms: int, end_ms: int, *, bounded: bool = True
    ) -> Iterator[Series]:
        """Yield the points of series in a range, both ends included, some thousands at a time.

        Of one series they come by time; a point that was written twice may come twice. An answer
        that is not ``bounded`` may be of any length and take any time, while it goes on.
        """
        params = [("match[]", selector) for selector in selectors]
        params += [("start", seconds(start_ms)), ("end", seconds(end_ms))]
        params += [("max_rows_per_line", str(ROWS_PER_LINE))]
        with self._post("/api/v1/export", params) as answer:
            for line in self._lines(answer, bounded):
                yield SERIES.decode(line)

    def ask(self, question: str, at_ms: int) -> list[Element]:
        """What a question comes to at a moment."""
        params = [("query", question), ("time", seconds(at_ms)), ("nocache", "1")]
        with self._post("/api/v1/query", params) as answer:
            return VECTOR.decode(self._read(answer)).data.result

    def values(self, label: str, selectors: Iterable[str], start_ms: int, end_ms: int) -> list[str]:
        """The values that a label has in series with points in a range, a day more or less."""
        params = [("match[]", selector) for selector in selectors]
        params += [("start", seconds(start_ms)), ("end", seconds(end_ms))]
        with self._post(f"/api/v1/label/{label}/values", params) as answer:
            return NAMES.decode(self._read(answer)).data

    def server(self, *, anew: bool = False) -> Server:
        """What the server says of itself; raises ValueError when it is no such server."""
        now = time.monotonic()
        if anew or self._server is None or now - self._server[0] > SERVER_SECONDS:
            url = f"{self._places.server}/metrics"
            with self._request("GET", url, None, self._headers) as answer:
                self._server = now, read_server(self._read(answer).decode())
        return self._server[1]

    def sync(self) -> None:
        """Have the server bring all that it has in memory to its disk: a snapshot does."""
        made = self._snapshot("create")
        self._snapshot(f"delete?{urlencode({'snapshot': made})}")

    def _snapshot(self, verb: str) -> str:
        url = f"{self._places.server}/snapshot/{verb}"
        with self._request("GET", url, None, self._headers) as answer:
            said = SNAPSHOT.decode(self._read(answer))
        if said.status != "ok":
            raise StoreUnavailable(f"{self.where} made no snapshot: {said.msg}")
        return said.snapshot

    @contextmanager
    def _post(self, path: str, params: Params) -> Iterator[urllib3.BaseHTTPResponse]:
        head = {**self._headers, "Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(params).encode()
        with self._request("POST", self._places.select + path, body, head) as answer:
            yield answer

    @contextmanager
    def _request(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        writing: bool = False,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        with failures(self.where):
            answer = self._pool.request(
                method,
                url,
                body=body,
                headers=headers,
                redirect=False,
                preload_content=False,
            )
            whole = False
            try:
                if not 200 <= answer.status < 300:
                    words = answer.read(MAX_ERROR_BYTES)
                    raise_for(self.where, url, answer, words, writing=writing)
                yield answer
                whole = True
            finally:
                if not whole:
                    answer.close()  # what is left unread must not be the next request's answer
                answer.release_conn()

    def _read(self, answer: urllib3.BaseHTTPResponse) -> bytes:
        return b"".join(self._chunks(answer))

    def _lines(self, answer: urllib3.BaseHTTPResponse, bounded: bool) -> Iterator[bytes]:
        rest = b""
        for chunk in self._chunks(answer, bounded):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
        if rest:
            raise ValueError("the answer ends within a line")

    def _chunks(self, answer: urllib3.BaseHTTPResponse, bounded: bool = True) -> Iterator[bytes]:
        deadline = time.monotonic() + self._timeout_seconds
        size = 0
        while chunk := answer.read1(CHUNK_BYTES):  # what is there: a slow answer is noticed
            size += len(chunk)
            if bounded and size > MAX_ANSWER_BYTES:
                raise StoreUnavailable(f"{self.where} answered over {MAX_ANSWER_BYTES} bytes")
            if bounded and time.monotonic() > deadline:
                raise StoreUnavailable(f"{self.where} did not answer in time")
            yield chunk


def seconds(at_ms: int) -> str:
    """A moment as the server reads it, which cuts a float's last digits off."""
    return f"{at_ms // 1000}.{at_ms % 1000:03d}25"


def credentials(token: str, username: str, password: str) -> dict[str, str]:
    """The headers that say who asks: a bearer token, or a user; none when neither is given."""
    if token:
        return {"Authorization": f"Bearer {token}"}
    if username:
        return dict(urllib3.make_headers(basic_auth=f"{username}:{password}"))
    return {}
