"""The MCP SDK with one tool that does nothing: the floor of what a call can cost."""

from contextlib import AsyncExitStack
from typing import Any

import mcp_types as t
from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager


async def list_tools(context: Any, params: Any) -> t.ListToolsResult:
    return t.ListToolsResult(tools=[t.Tool(name="nothing", input_schema={"type": "object"})])


async def call_tool(context: Any, params: Any) -> t.CallToolResult:
    return t.CallToolResult(content=[t.TextContent(text="nothing")])


server: Server[Any] = Server(
    "bare", on_list_tools=list_tools, on_call_tool=call_tool, get_tool_input_schema=lambda _: None
)
sessions = StreamableHTTPSessionManager(app=server, stateless=True)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["path"] == "/healthz":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
    else:
        await sessions.handle_request(scope, receive, send)


async def _lifespan(receive: Any, send: Any) -> None:
    async with AsyncExitStack() as serving:
        await receive()
        await serving.enter_async_context(sessions.run())
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})
