"""Clients that leave or cancel end their run; a process that stops ends none."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.conformance.mcp.behaviours import behaviour
from tests.integration.mcp.conftest import ERAS, NEW, Endpoint
from tests.runs import eventually


class Slow:
    """A tool over the network that reports progress and then waits until it is cut off."""

    def __init__(self) -> None:
        self.began, self.cut_off = threading.Event(), threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._may_end: asyncio.Event | None = None

    async def send(self, context: Any, arguments: Any) -> Any:
        from apps.tools.types import ToolResult

        self._loop, self._may_end = asyncio.get_running_loop(), asyncio.Event()
        if context.on_progress:
            context.on_progress(1, 4, "a quarter")
            context.on_progress(2, 4, "half")
        self.began.set()
        try:
            await self._may_end.wait()
        except asyncio.CancelledError:
            self.cut_off.set()
            raise
        return ToolResult(text="slow and steady")

    def end(self) -> None:
        if self._loop is not None and self._may_end is not None:
            self._loop.call_soon_threadsafe(self._may_end.set)


@pytest.fixture
def slow() -> Iterator[Slow]:
    from apps.tools import registry
    from apps.tools.types import BuiltinTool, Effect, Risk

    tool = Slow()
    registry.add(
        BuiltinTool(
            name="test_slow",
            description="Waits.",
            input_schema={"type": "object"},
            risk=Risk.READ,
            egress=False,
            effect=Effect.PURE,
            send=tool.send,
        )
    )
    yield tool
    tool.end()
    del registry._tools["test_slow"], registry._views["test_slow"]


def _statuses(bench: Any) -> list[str]:
    return [status for (status,) in bench.rows("SELECT status FROM run")]


@behaviour("progress")
@pytest.mark.parametrize("era", ERAS)
def test_progress_of_a_tool_reaches_the_client(mcp: Endpoint, slow: Slow, era: str) -> None:
    heard: list[tuple[float, float | None, str | None]] = []

    async def hear(done: float, total: float | None, message: str | None) -> None:
        heard.append((done, total, message))
        if len(heard) == 2:
            slow.end()

    async def call(client: Any) -> Any:
        return await client.call_tool("test_slow", {}, progress_callback=hear)

    answer = mcp.talk(call, era)
    assert answer.content[0].text == "slow and steady"
    assert heard == [(1, 4, "a quarter"), (2, 4, "half")]


@behaviour("cancellation")
@pytest.mark.parametrize("era", ERAS)
def test_a_client_that_gives_up_cancels_the_run(
    mcp: Endpoint, bench: Any, slow: Slow, era: str
) -> None:
    async def give_up(client: Any) -> None:
        calling = asyncio.create_task(client.call_tool("test_slow", {}))
        assert await asyncio.to_thread(slow.began.wait, 20)
        calling.cancel()
        assert await asyncio.to_thread(slow.cut_off.wait, 20)

    mcp.talk(give_up, era)
    eventually(lambda: _statuses(bench) == ["cancelled"])


@behaviour("cancellation.notification")
def test_a_notification_cancels_the_call_of_its_session_only(
    mcp: Endpoint, bench: Any, slow: Slow
) -> None:
    def cancel(session: str) -> None:
        body = {
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": {"requestId": 5, "reason": "changed my mind"},
        }
        reply = mcp.send(orjson.dumps(body), Mcp_Session_Id=session)
        assert reply.status == 202

    params = {"name": "test_slow", "arguments": {}}
    call = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params}
    replies: list[Any] = []
    thread = threading.Thread(
        target=lambda: replies.append(mcp.send(orjson.dumps(call), Mcp_Session_Id="mine"))
    )
    thread.start()
    assert slow.began.wait(20)
    cancel("another")
    assert not slow.cut_off.wait(0.5)
    cancel("mine")
    assert slow.cut_off.wait(20)
    thread.join(20)
    assert b"cancelled" in replies[0].body
    eventually(lambda: _statuses(bench) == ["cancelled"])


def test_a_process_that_stops_lets_go_of_its_clients_and_of_no_run(
    bench: Any, installation: Any, processes: Any
) -> None:
    from tests.runs import save

    save(bench.scope)
    web = processes.web(timeout=90)
    mcp = Endpoint(url=f"{web.url}/mcp", key=installation.issued_key.secret)
    answers: list[Any] = []

    async def follow(client: Any) -> Any:
        async def hear(done: float, total: float | None, message: str | None) -> None:
            web.popen.send_signal(signal.SIGTERM)

        await client.list_tools()  # which the SDK else does afterwards, to check the answer
        ask = {"input": '{"answer": "x"}'}
        return await client.call_tool("agent__worker-bee", ask, progress_callback=hear)

    answers.append(mcp.talk(follow, NEW))
    assert "goes on in the background" in answers[0].content[0].text
    assert web.popen.wait(20) is not None
    assert _statuses(bench) == ["ready"]
