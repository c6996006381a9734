"""The MCP endpoint as an ASGI application: who may knock is settled here, what is said in `server`.

Both eras of the protocol are answered statelessly: any process can answer any request.
https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http

401  no valid key (JSON-RPC error, WWW-Authenticate)    405  not a POST: there are no sessions to
403  a web page of another origin                            listen to or to delete
421  a host name that is not ours                       413  the body is too large
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import orjson
from django.conf import settings
from django.http.request import split_domain_port, validate_host
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import INVALID_REQUEST
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from apps.api.mcp import callers, server
from apps.observability import metrics
from apps.orchestration.services import watching
from octavo.kernel import io
from octavo.kernel.errors import OctavoError

PATH = "/mcp"
PATHS = frozenset({PATH, f"{PATH}/"})
_BLANKS = b" \t"
_JSON = (b"content-type", b"application/json")
_sessions: list[StreamableHTTPSessionManager] = []  # the one of the running lifespan


@asynccontextmanager
async def running() -> AsyncIterator[None]:
    """Serve until left; entered and left by one task, as the SDK's task group demands."""
    sessions = StreamableHTTPSessionManager(
        app=server.build(),
        stateless=True,
        json_response=False,
        # `_refusal` checks host and origin by Django's own rules instead.
        security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        max_request_body_size=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
    )
    watching.hub()  # there from the start, so that a stop reaches whoever waits
    async with sessions.run():
        _sessions.append(sessions)
        try:
            yield
        finally:
            _sessions.remove(sessions)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    started = time.perf_counter()
    answered = 500

    async def counted(message: dict[str, Any]) -> None:
        nonlocal answered
        answered = message.get("status", answered)
        await send(message)

    try:
        await _answer(scope, receive, counted)
    finally:
        metrics.count_http_request(
            method=scope["method"] if scope["method"] in {"POST", "GET", "DELETE"} else "other",
            route=PATH,
            status=answered,
            seconds=time.perf_counter() - started,
        )


async def _answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
    # httptools keeps blanks after header values, which RFC 9110 says are no part of them.
    headers = [(name, value.strip(_BLANKS)) for name, value in scope["headers"]]
    refused = _refusal(scope["method"], dict(headers))
    if refused is not None:
        await _refuse(send, *refused)
        return
    try:
        caller = await io.db(callers.authenticate, headers)
    except OctavoError as error:
        challenge = (b"www-authenticate", b'Bearer realm="octavo", error="invalid_token"')
        await _refuse(send, error.status, str(error), challenge)
        return
    inner = {**scope, "headers": headers}
    callers.remember(inner, caller)
    await _sessions[-1].handle_request(inner, receive, _labelled(caller, headers, send))


def _refusal(method: str, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
    host = headers.get(b"host", b"").decode("latin-1")
    if not _is_ours(host):
        return 421, f"The host {host!r} is not one of OCTAVO_ALLOWED_HOSTS."
    origin = headers.get(b"origin", b"").decode("latin-1")
    if origin and not _is_ours(urlsplit(origin).netloc):
        return 403, f"Pages of {origin!r} may not call this server: see OCTAVO_ALLOWED_HOSTS."
    if method != "POST":
        return 405, f"Method {method} is not allowed: send every MCP message as a POST."
    return None


def _is_ours(host: str) -> bool:
    domain, _ = split_domain_port(host)
    public = urlsplit(settings.PUBLIC_URL).netloc
    return host == public or bool(domain and validate_host(domain, settings.ALLOWED_HOSTS))


async def _refuse(send: Any, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": INVALID_REQUEST, "message": message}}
    allow = ((b"allow", b"POST"),) if status == 405 else ()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [_JSON, *allow, *headers],
        }
    )
    await send({"type": "http.response.body", "body": orjson.dumps(error)})


def _labelled(caller: callers.Caller, headers: callers.Headers, send: Any) -> Any:
    """Name its session to a client of the handshake era that has none yet."""
    version = dict(headers).get(b"mcp-protocol-version", b"").decode("latin-1")
    if caller.session or (version and version not in HANDSHAKE_PROTOCOL_VERSIONS):
        return send

    async def labelled(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], callers.new_session()]}
        await send(message)

    return labelled
