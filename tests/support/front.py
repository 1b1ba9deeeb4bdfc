"""A server in front of another, as gateways and clusters are: paths, and a token at the door."""

import contextlib
import http.server
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

BACK_SECONDS = 30.0


@dataclass
class Front:
    """Where it is, and how often each of its paths was asked."""

    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)


@contextlib.contextmanager
def front(back: str, paths: Mapping[str, str], token: str) -> Iterator[Front]:
    """Pass on what comes to one of some paths, which have names, with a bearer token."""
    state = Front()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = next((path for path in paths if self.path.startswith(f"{path}/")), None)
            if self.headers.get("Authorization") != f"Bearer {token}":
                return self.answer(401, b"who are you")
            if path is None:
                return self.answer(404, b"not here")
            state.asked[paths[path]] += 1
            kept = ("Content-Type", "Content-Encoding")
            headers = {name: self.headers[name] for name in kept if name in self.headers}
            request = urllib.request.Request(back + self.path.removeprefix(path), body, headers)
            try:
                with urllib.request.urlopen(request, timeout=BACK_SECONDS) as answer:
                    return self.answer(answer.status, answer.read())
            except urllib.error.HTTPError as error:
                return self.answer(error.code, error.read())

        do_GET = do_POST  # noqa: N815  its name is the server's

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """The test tells what went wrong."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
