"""The service token: who may speak to a broker or proxy."""

import hashlib
import hmac

from pydantic import SecretStr
from starlette.types import Scope

from common.errors import Unauthorized
from common.http.body import header

BEARER = b"bearer "


def digest(secret: str | bytes) -> bytes:
    """SHA-256 of a high-entropy secret: what is kept and compared."""
    return hashlib.sha256(secret.encode() if isinstance(secret, str) else secret).digest()


def bearer(scope: Scope) -> bytes | None:
    """Return the token of an ``Authorization: Bearer`` header, if there is one."""
    value = header(scope, b"authorization")
    if value is None or value[: len(BEARER)].lower() != BEARER:
        return None
    return value[len(BEARER) :].strip()


class ServiceToken:
    """Lets in who shows the one token that all services of a stack share."""

    def __init__(self, token: SecretStr) -> None:
        self._digest = digest(token.get_secret_value())

    def __call__(self, scope: Scope) -> None:
        shown = bearer(scope)
        if shown is None:
            raise Unauthorized("a service token is required: Authorization: Bearer ...")
        if not hmac.compare_digest(digest(shown), self._digest):
            raise Unauthorized("the service token is not the one of this stack")
