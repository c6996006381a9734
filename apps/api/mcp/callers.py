"""Who makes an MCP request: asked of each anew, because a session id is a label, no credential."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mcp.server import ServerRequestContext
from starlette.requests import Request

from apps.accounts import services as accounts
from octavo.kernel.errors import Unauthenticated
from octavo.kernel.scope import Scope

Context = ServerRequestContext[Any, Request]
Headers = Iterable[tuple[bytes, bytes]]

_PLACE = "octavo.caller"
_SESSION = b"mcp-session-id"
_LONGEST_SESSION = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`session` tells apart clients of the handshake era that share a key; "" for others."""

    scope: Scope
    session: str


def authenticate(headers: Headers) -> Caller:
    """Raises `Unauthenticated`. Synchronous: it may read the database."""
    given = dict(headers)
    header = given.get(b"authorization", b"").decode("latin-1")
    kind, _, secret = header.partition(" ")
    if kind.lower() != "bearer" or not secret.strip():
        raise Unauthenticated(
            "This MCP server needs an API key of Octavo: send it as the header "
            "`Authorization: Bearer oct_…`."
        )
    return Caller(
        scope=accounts.authenticate_key(secret=secret.strip()),
        session=given.get(_SESSION, b"").decode("latin-1")[:_LONGEST_SESSION],
    )


def new_session() -> tuple[bytes, bytes]:
    """The header that names its session to a client, which sends it back from then on."""
    return _SESSION, secrets.token_urlsafe(16).encode()


def remember(asgi_scope: dict[str, Any], caller: Caller) -> None:
    asgi_scope[_PLACE] = caller


def caller_of(context: Context) -> Caller:
    """Whose request a handler answers."""
    assert context.request is not None  # noqa: S101  every request comes over HTTP
    caller: Caller = context.request.scope[_PLACE]
    return caller
