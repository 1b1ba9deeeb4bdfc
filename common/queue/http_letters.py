"""A group's dead letters in our own brokers, behind the proxy."""

import base64
import ssl
from typing import Any

import msgspec
from pydantic import SecretStr

from common.clock import from_rfc3339
from common.errors import BrokerUnreachable, NotFound
from common.queue.base import DeadLetter
from common.queue.http import REQUEST_SECONDS, open_session, request

PAGE = 1000
MAX_RATE = 10_000.0


class HttpDeadLetters:
    """Each broker has its own queue of them; through the proxy, or of one broker alone."""

    def __init__(
        self,
        base_url: str,
        token: SecretStr,
        topic: str,
        group: str,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._session = open_session(base_url, token, REQUEST_SECONDS, tls)
        self._params = {"topic": topic, "group": group}

    async def page(self, limit: int) -> list[DeadLetter]:
        """See ``DeadLetters``."""
        answer = await self._ask("GET", "", limit=str(min(limit, PAGE)))
        missing = answer.get("missing")
        if missing:
            raise BrokerUnreachable(f"no answer from {', '.join(missing)}")
        found = [_letter(row) for row in answer.get("dead_letters", ())]
        return sorted(found, key=lambda letter: letter.dead_at)[:limit]

    async def redrive(self, rate: float) -> int:
        """See ``DeadLetters``; the brokers go on with it in the background."""
        body = msgspec.json.encode({"rate": min(rate, MAX_RATE)})
        return _sum(await self._ask("POST", "/redrive", body), "redriving")

    async def purge(self) -> int:
        """See ``DeadLetters``."""
        return _sum(await self._ask("DELETE", ""), "purged")

    async def close(self) -> None:
        """See ``DeadLetters``."""
        await self._session.close()

    async def _ask(self, method: str, path: str, body: bytes | None = None, **more: str) -> Any:
        """An answer, empty where nobody has heard of the topic or the group."""
        given = self._params | more
        try:
            return await request(self._session, method, f"/dlq{path}", params=given, data=body)
        except NotFound:
            return {}


def _sum(answer: Any, word: str) -> int:
    """Add up what each broker counted; one that was asked itself answers for itself."""
    answers = answer.get("brokers", {"": answer}).values()
    return sum(each.get(word, 0) for each in answers)


def _letter(row: Any) -> DeadLetter:
    text = row["payload"]
    payload = base64.b64decode(row["payload_base64"]) if text is None else text.encode()
    return DeadLetter(
        row["id"],
        row["partition"],
        row["offset"],
        row["attempts"],
        from_rfc3339(row["dead_at"]) or 0,
        row["reason"],
        row["error"],
        payload,
    )
