"""The ceiling of the framework: an app that reads a body and answers, and does nothing else.

The same server (uvicorn, uvloop, httptools), the same client, the same request and an answer of the
same shape; no disk, no consumer, no credential.
"""

import contextlib
import os
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.harness import Contender
from benchmarks.ours import produce, python_server
from cli.bench.clients import TOPIC
from cli.bench.drive import Gate, Server, Work

ANSWER = {"id": "b:0:0", "partition": 0, "offset": 0, "count": 1, "durability": "memory"}


async def answer(request: Request) -> JSONResponse:
    """What a produce would say."""
    await request.body()
    return JSONResponse({**ANSWER, "topic": TOPIC, "duplicate": False})


async def topic(request: Request) -> JSONResponse:
    """What the client asks for first."""
    return JSONResponse({"partition_count": 4})


def start(directory: Path) -> contextlib.AbstractContextManager[Server]:
    """See ``Contender``."""
    return python_server(["-m", "benchmarks.bare"], {})


def consume(address: str, work: Work, gate: Gate) -> None:
    """There is nothing to consume."""
    gate()


BARE = Contender("bare framework", start, produce, consume)

if __name__ == "__main__":
    routes = [
        Route("/produce", answer, methods=["POST"]),
        Route("/topics/{topic}", topic, methods=["PUT"]),
        Route("/ready", topic),
    ]
    uvicorn.run(
        Starlette(routes=routes), port=int(os.environ["PORT"]), log_config=None, access_log=False
    )
