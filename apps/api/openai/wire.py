"""One HTTP exchange over ASGI: a bounded body in, JSON or server-sent events out, and who left.

Every write waits while the client does not read, so a slow client holds its provider back and
nothing piles up here.
"""

import asyncio
import re
from collections.abc import Coroutine, Mapping
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from apps.observability.types import TraceParent
from octavo.kernel import ids
from octavo.kernel.errors import TooLarge

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_JSON = (b"content-type", b"application/json")
_EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")


class ClientLeft(asyncio.CancelledError):
    """The client hung up: nobody waits for the answer any more."""


class Exchange:
    """One request and its answer."""

    def __init__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.id = f"req_{ids.new().hex}"
        self.status = 0  # of the answer, once it has begun
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self._receive = receive
        self._send = send

    def header(self, name: bytes) -> str:
        return self._headers.get(name, b"").decode("latin-1")

    @property
    def trace(self) -> TraceParent | None:
        """The caller's place in its trace. https://www.w3.org/TR/trace-context/"""
        found = _TRACEPARENT.fullmatch(self._headers.get(b"traceparent", b""))
        if found is None or not int(found[1], 16) or not int(found[2], 16):
            return None
        return TraceParent(trace_id=UUID(hex=found[1].decode()), parent_id=found[2].decode())

    async def read(self) -> bytes:
        """The body. Raises `TooLarge`, or `ClientLeft` when it does not arrive."""
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        declared = self._headers.get(b"content-length", b"")
        body = bytearray()
        more = not (declared.isdigit() and int(declared) > limit)
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            body += message.get("body", b"")
            more = message.get("more_body", False) and len(body) <= limit
        if len(body) > limit or (declared.isdigit() and int(declared) > limit):
            raise TooLarge(
                f"The request body is larger than {limit:,} bytes. Send less, or raise "
                "OCTAVO_MAX_BODY_BYTES."
            )
        return bytes(body)

    async def while_connected[T](self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which is cancelled when the client leaves or time is up.

        Call it once the body is read. Raises `ClientLeft`, or `TimeoutError` after
        OCTAVO_MODEL_CALL_SECONDS.
        """
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(self._left())
        try:
            async with asyncio.timeout(settings.MODEL_CALL_SECONDS):
                await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
        finally:
            leaving.cancel()
            if not working.done():
                working.cancel()
                await asyncio.wait({working})
        raise ClientLeft

    async def _left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def answer(
        self, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """A whole JSON answer."""
        length = (b"content-length", str(len(body)).encode())
        await self._start(status, [_JSON, length], headers or {})
        await self._send({"type": "http.response.body", "body": body})

    async def start_events(self, headers: Mapping[str, str]) -> None:
        no_store = (b"cache-control", b"no-store")
        unbuffered = (b"x-accel-buffering", b"no")
        await self._start(200, [_EVENTS, no_store, unbuffered], headers)

    async def send_event(self, data: bytes, *, more: bool = True) -> None:
        event = b"data: " + data + b"\n\n"
        await self._send({"type": "http.response.body", "body": event, "more_body": more})

    async def _start(
        self, status: int, own: list[tuple[bytes, bytes]], headers: Mapping[str, str]
    ) -> None:
        self.status = status
        named = [(name.encode(), value.encode()) for name, value in headers.items()]
        request_id = (b"x-request-id", self.id.encode())
        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*own, request_id, *named],
            }
        )


def json_bytes(value: Any) -> bytes:
    return orjson.dumps(value)
