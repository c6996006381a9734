"""A chat completions server that follows the script in the conversation, so it has no state.

The first user message is JSON: `{"calls": [[tool, arguments], …], "answer": "…", "delay": 0.1}`.
The k-th answer is the k-th call (or a list of calls, made at once), and the text when they are
used up. A text among the calls is said.
"""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

MODEL = "scripted"


@dataclass(slots=True)
class ScriptedChat:
    """A running upstream. `requests` are the bodies it got; `failures` are answered first.

    `script`, when set, replaces the one in the conversation. A conversation of more than `too_long`
    characters is refused.
    """

    base_url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    script: dict[str, Any] | None = None
    too_long: int | None = None
    open_calls: int = 0
    cut_off: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        if self.failures:
            status = self.failures.pop(0)
            error = {"error": {"message": "scripted failure", "type": "server_error"}}
            return web.json_response(error, status=status)
        length = sum(len(message["content"] or "") for message in body["messages"])
        if self.too_long is not None and length > self.too_long:
            text = f"This model's maximum context length is {self.too_long}; you sent {length}."
            return web.json_response({"error": {"message": text}}, status=400)
        self.open_calls += 1
        try:
            script = self._script(body)
            await asyncio.sleep(script.get("delay", 0))
            return await _reply(request, body, script)
        except (asyncio.CancelledError, ConnectionResetError):
            self.cut_off += 1
            raise
        finally:
            self.open_calls -= 1

    def _script(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.script is not None:
            return self.script
        first = next(m for m in body["messages"] if m["role"] == "user")
        text = first["content"]
        return json.loads(text) if text.startswith("{") else {"answer": f"You said: {text}"}


async def _reply(
    request: web.Request, body: dict[str, Any], script: dict[str, Any]
) -> web.StreamResponse:
    turn = sum(m["role"] == "assistant" for m in body["messages"])
    calls = script.get("calls", [])
    if turn < len(calls) and isinstance(calls[turn], str):
        message: dict[str, Any] = {"role": "assistant", "content": calls[turn]}
        reason = "stop"
    elif turn < len(calls):
        asked = calls[turn] if isinstance(calls[turn][0], list) else [calls[turn]]
        made = [
            {
                "id": f"call_{turn}" if place == 0 else f"call_{turn}_{place}",
                "type": "function",
                "function": {"name": tool, "arguments": json.dumps(arguments)},
            }
            for place, (tool, arguments) in enumerate(asked)
        ]
        message = {"role": "assistant", "content": None, "tool_calls": made}
        reason = "tool_calls"
    else:
        answers = script.get("answers") or [script.get("answer", "done")]
        text = answers[min(turn - len(calls), len(answers) - 1)]
        message, reason = {"role": "assistant", "content": text}, "stop"
    usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return web.json_response(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": MODEL,
                "choices": [choice],
                "usage": usage,
            }
        )
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    async for chunk in _chunks(message, reason, usage):
        await response.write(b"data: " + chunk + b"\n\n")
    await response.write_eof()
    return response


async def _chunks(
    message: dict[str, Any], reason: str, usage: dict[str, int]
) -> AsyncIterator[bytes]:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return json.dumps({**base, "choices": [choice]}).encode()

    yield chunk({"role": "assistant", "content": ""})
    for index, call in enumerate(message.get("tool_calls", ())):
        yield chunk({"tool_calls": [{"index": index, **call}]})
    for word in (message["content"] or "").split(" "):
        if word:
            yield chunk({"content": word + " "})
    yield chunk({}, reason)
    yield json.dumps({**base, "choices": [], "usage": usage}).encode()
    yield b"[DONE]"


@contextmanager
def scripted_chat(port: int = 0) -> Iterator[ScriptedChat]:
    """Serve on a loopback port, in a thread of its own, until the block is left."""
    chat, loop = ScriptedChat(), asyncio.new_event_loop()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0, access_log=None)

    async def start() -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        address = runner.addresses[0]
        chat.base_url = f"http://127.0.0.1:{address[1]}/v1"

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield chat
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
