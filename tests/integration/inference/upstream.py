"""A model server for tests: the real protocol on a real socket, answers from a script.

Without one it answers every chat with "Hello from upstream." and embeds every text alike.
"""

import asyncio
import base64
import struct
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

TEXT = "Hello from upstream."
Answer = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


@dataclass
class Seen:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    connection: Any


@dataclass
class Upstream:
    """`script` holds one answer a request, oldest first; `gone` is set when a caller hangs up."""

    url: str = ""
    script: deque[Answer] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read() or b"{}")
        peer = request.transport.get_extra_info("peername") if request.transport else None
        self.seen.append(Seen(request.path, dict(request.headers), body, peer))
        self.arrived.set()
        answer = self.script.popleft() if self.script else default
        try:
            return await answer(request, body)
        except asyncio.CancelledError:
            self.gone.set()
            raise


def completion(message: dict[str, Any], **extra: Any) -> dict[str, Any]:
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "whatever-the-server-calls-it",
        "choices": [
            {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    } | extra


async def default(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    if request.path.endswith("/embeddings"):
        return web.json_response(embeddings(body, [3.0, 4.0]))
    if request.path.endswith("/models"):
        return web.json_response({"object": "list", "data": []})
    if body.get("stream"):
        return await stream_text(TEXT)(request, body)
    return web.json_response(completion({"content": TEXT}))


def embeddings(body: dict[str, Any], vector: list[float]) -> dict[str, Any]:
    sent: Any = vector
    if body.get("encoding_format") == "base64":
        sent = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    rows = [
        {"object": "embedding", "index": index, "embedding": sent}
        for index in range(len(body["input"]))
    ]
    usage = {"prompt_tokens": 5 * len(rows), "total_tokens": 5 * len(rows)}
    return {"object": "list", "data": rows[::-1], "model": body["model"], "usage": usage}


def json_answer(body: dict[str, Any], *, status: int = 200, **headers: str) -> Answer:
    async def answer(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(body, status=status, headers=headers)

    return answer


def error(status: int, message: str, *, code: str = "", **headers: str) -> Answer:
    body = {"error": {"message": message, "type": "invalid_request_error", "code": code or None}}
    return json_answer(body, status=status, **headers)


def text_answer(text: str, **usage: Any) -> Answer:
    return json_answer(completion({"content": text}, **usage))


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]}
    return b"data: " + orjson.dumps(body) + b"\n\n"


USAGE = (
    b"data: "
    + orjson.dumps({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}})
    + b"\n\n"
)
DONE = b"data: [DONE]\n\n"


def error_event(message: str) -> bytes:
    return b"data: " + orjson.dumps({"error": {"message": message}}) + b"\n\n"


def stream(*parts: bytes, abort: bool = False, hang: bool = False) -> Answer:
    """These bytes as one event stream, each part in a packet of its own."""

    async def answer(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        if abort and request.transport is not None:
            request.transport.abort()
        if hang:
            await asyncio.Event().wait()
        return response

    return answer


def stream_text(text: str) -> Answer:
    words = [chunk({"content": word}) for word in text.split(" ")[:1]]
    words += [chunk({"content": f" {word}"}) for word in text.split(" ")[1:]]
    return stream(chunk({"role": "assistant"}), *words, chunk({}, "stop"), USAGE, DONE)


async def hang(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
    """Never answers; the caller has to hang up."""
    await asyncio.Event().wait()
    raise AssertionError


async def disconnect(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
    """Hangs up before answering."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


@contextmanager
def running() -> Iterator[Upstream]:
    """An upstream on a free loopback port, on a loop and thread of its own."""
    upstream = Upstream()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="upstream", daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(_start(upstream), loop).result(5)
    try:
        yield upstream
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


async def _start(upstream: Upstream) -> web.AppRunner:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", upstream.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    upstream.url = f"http://{host}:{port}"
    return runner
