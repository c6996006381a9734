"""Streamable HTTP through guarded egress: the SDK's HTTP client on the kernel's only way out.

A request that fails is answered with a JSON-RPC error instead of an exception, because an exception
would take down the connection and every other call on it.
https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpx2
from mcp.client import Transport
from mcp.client.streamable_http import streamable_http_client
from yarl import URL

from apps.tools.adapters import attempts
from apps.tools.types import Upstream
from octavo.kernel import egress
from octavo.kernel.errors import InvalidInput

_MOST_BYTES = 16 * 2**20  # of one JSON answer
_MOST_EVENT_BYTES = 8 * 2**20
_CONNECTION = frozenset({"host", "connection", "content-length", "transfer-encoding"})
_DECODED = frozenset({"content-encoding", "content-length", "transfer-encoding", "connection"})
_EVENTS = "text/event-stream"
_FAILED = -32000


@asynccontextmanager
async def connect(upstream: Upstream) -> AsyncIterator[Transport]:
    """The transport of one connection; nothing of it is shared with another."""
    headers = {"User-Agent": "octavo", "Accept-Encoding": "identity"}
    if upstream.token:
        headers["Authorization"] = f"Bearer {upstream.token}"
    async with httpx2.AsyncClient(
        transport=_Guarded(), headers=headers, timeout=None, trust_env=False
    ) as client:
        yield streamable_http_client(
            upstream.url, http_client=client, max_sse_event_size=_MOST_EVENT_BYTES
        )


class _Guarded(httpx2.AsyncBaseTransport):
    """One guarded session: its connections are reused, and it follows no redirect itself."""

    def __init__(self) -> None:
        self._session = egress.session(timeout=None, trace=_trace())

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        attempt = attempts.current()
        try:
            answer = await self._session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=[
                    (name, value)
                    for name, value in request.headers.multi_items()
                    if name.lower() not in _CONNECTION
                ],
                data=await request.aread() or None,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, InvalidInput, OSError, ValueError) as error:
            attempt.failure = _words(error)
            return _failed(request, attempt.failure)
        attempt.status = answer.status
        return httpx2.Response(
            answer.status,
            headers=[(k, v) for k, v in answer.headers.items() if k.lower() not in _DECODED],
            stream=_Body(answer, attempt),
            request=request,
        )

    async def aclose(self) -> None:
        await self._session.close()


class _Body(httpx2.AsyncByteStream):
    """The answer as it arrives, and no more of one JSON document than can be kept in memory."""

    def __init__(self, answer: aiohttp.ClientResponse, attempt: attempts.Attempt) -> None:
        self._answer = answer
        self._attempt = attempt

    async def __aiter__(self) -> AsyncIterator[bytes]:
        endless = self._answer.content_type == _EVENTS
        size = 0
        try:
            async for chunk in self._answer.content.iter_any():
                size += len(chunk)
                if size > _MOST_BYTES and not endless:
                    raise self._broken(f"its answer is larger than {_MOST_BYTES // 2**20} MiB")
                yield chunk
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._broken(_words(error)) from error

    async def aclose(self) -> None:
        """Closing an answer that has not ended closes its connection: the server sees it."""
        if not self._answer.content.at_eof():
            self._answer.close()
        self._answer.release()

    def _broken(self, words: str) -> httpx2.StreamError:
        self._attempt.failure = words
        return httpx2.StreamError(words)


def _failed(request: httpx2.Request, words: str) -> httpx2.Response:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": _FAILED, "message": words}}
    return httpx2.Response(502, json=error, request=request)


def _words(error: Exception) -> str:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "no connection within 10 s"
    return str(error) or type(error).__name__


def _trace() -> aiohttp.TraceConfig:
    """Marks an attempt as sent once its headers are on their way."""

    async def sent(session: aiohttp.ClientSession, context: SimpleNamespace, params: Any) -> None:
        attempts.current().was_sent = True

    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(sent)
    return config
