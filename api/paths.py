"""Paths whose names may hold a slash: what was escaped stays part of its name."""

from typing import Annotated
from urllib.parse import quote, unquote

from fastapi import Path
from starlette.convertors import Convertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send

from common.errors import InvalidRequest

NAME = "name"

GpuId = Annotated[
    str,
    Path(
        description="The GPU's id: its uuid, or `<hostname>-<index>` when it has none. "
        "A `/` in it is sent as `%2F`."
    ),
]
HostName = Annotated[str, Path(description="A host's name. A `/` in it is sent as `%2F`.")]


class NameConvertor(Convertor[str]):
    """One name of a path, ``{gpu_id:name}``, with the slashes that it was sent with."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return unquote(value)

    def to_string(self, value: str) -> str:
        return quote(value, safe="")


class EscapedPaths:
    """Routes by the path as it was sent, so that ``a%2Fb`` is one name and ``a/b`` is two.

    It stands behind the edge: who may ask was decided on the whole path before.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and b"%" in scope["raw_path"]:
            scope["path"] = read_path(scope["raw_path"])
        await self._app(scope, receive, send)


def read_path(raw_path: bytes) -> str:
    """Undo every escape of a path but those of ``/`` and ``%``; raises InvalidRequest."""
    try:
        names = [unquote(name, errors="strict") for name in raw_path.decode("ascii").split("/")]
    except UnicodeDecodeError as error:
        raise InvalidRequest("the path is not UTF-8") from error
    return "/".join(name.replace("%", "%25").replace("/", "%2F") for name in names)


register_url_convertor(NAME, NameConvertor())
