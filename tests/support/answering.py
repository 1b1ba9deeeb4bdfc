"""A server that gives the answers it was told, and keeps what it was asked."""

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Told:
    """An answer. ``cut`` bytes of the body are left out and the connection ends; in chunks, or
    as a whole, or with a pause between its bytes."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    chunked: bool = False
    pause_seconds: float = 0.0


@dataclass
class AnsweringServer:
    """Answers every request with ``told``."""

    told: Told
    url: str = ""
    asked: list[tuple[str, bytes]] = field(default_factory=list)


@contextlib.contextmanager
def answering(told: Told) -> Iterator[AnsweringServer]:
    """Serve on a free port."""
    state = AnsweringServer(told)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.asked.append((self.path, body))
            answer = state.told
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.send_body(answer)
            self.close_connection = answer.cut > 0

        def send_body(self, answer: Told) -> None:
            body = answer.body
            if answer.chunked:
                body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            body = body[: len(body) - answer.cut]
            step = 1 if answer.pause_seconds else max(1, len(body))
            for at in range(0, len(body), step):
                self.wfile.write(body[at : at + step])
                time.sleep(answer.pause_seconds)

        def log_message(self, *_: object) -> None:
            """The test tells what went wrong."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
