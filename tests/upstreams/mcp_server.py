"""A real MCP server, over stdio or Streamable HTTP, whose tools leave traces in a folder.

    python -m tests.upstreams.mcp_server                  stdio
    python -m tests.upstreams.mcp_server --port 8123      http://127.0.0.1:8123/mcp

UPSTREAM_FOLDER is where traces are left; in it, `tools.json` replaces definitions (read at each
`tools/list`): `{name: {field: value} | null}`. UPSTREAM_TOKEN is the bearer token that is wanted.
UPSTREAM_JSON=1 answers in one JSON document instead of a stream; UPSTREAM_LEGACY=1 speaks only the
older protocol, with sessions.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mcp_types as t
from mcp.server import Server
from mcp.server.lowlevel.server import ServerRequestContext
from mcp.server.stdio import stdio_server

KEY = "octavo/idempotency-key"
ANY: dict[str, Any] = {"type": "object"}


def schema(**properties: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }


DEFINITIONS: dict[str, dict[str, Any]] = {
    "echo": {"description": "Says the text again.", "inputSchema": schema(text="string")},
    "note": {
        "description": "Writes a line once for each key.",
        "inputSchema": schema(line="string"),
    },
    "push": {
        "description": "Writes a line each time, in the middle of its work.",
        "inputSchema": schema(n="integer"),
    },
    "count": {
        "description": "Counts to n, telling how far it is.",
        "inputSchema": schema(n="integer"),
        "annotations": {"readOnlyHint": True, "title": "Counting"},
    },
    "meet": {
        "description": "Answers once so many calls are under way together.",
        "inputSchema": schema(of="integer", name="string"),
    },
    "hang": {"description": "Never answers.", "inputSchema": ANY},
    "die": {"description": "Ends the server in the middle of the call.", "inputSchema": ANY},
    "spawn": {"description": "Leaves a process behind.", "inputSchema": ANY},
    "about": {"description": "Tells of the process.", "inputSchema": ANY},
    "mixed": {"description": "Answers with every kind of content.", "inputSchema": ANY},
    "flood": {"description": "Answers with n letters.", "inputSchema": schema(n="integer")},
    "fail": {"description": "Fails in its own words.", "inputSchema": ANY},
    "refuse": {"description": "Answers with a protocol error.", "inputSchema": ANY},
}


def folder() -> Path:
    return Path(os.environ["UPSTREAM_FOLDER"])


def leave(line: str, *, trail: str = "trail") -> None:
    file = os.open(folder() / trail, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, f"{line}\n".encode())
    finally:
        os.close(file)


def lines(where: Path, trail: str = "trail") -> list[str]:
    file = where / trail
    return file.read_text().splitlines() if file.exists() else []


def listed() -> list[dict[str, Any]]:
    changes: dict[str, Any] = {}
    if (folder() / "tools.json").exists():
        changes = json.loads((folder() / "tools.json").read_text())
    found = []
    for name in [*DEFINITIONS, *(n for n in changes if n not in DEFINITIONS)]:
        change = changes.get(name, {})
        if change is not None:
            found.append({"name": name, **DEFINITIONS.get(name, {}), **change})
    return found


async def list_tools(
    context: ServerRequestContext[Any], params: t.PaginatedRequestParams | None
) -> t.ListToolsResult:
    leave("list")
    return t.ListToolsResult.model_validate({"tools": listed()})


async def call_tool(
    context: ServerRequestContext[Any], params: t.CallToolRequestParams
) -> t.CallToolResult:
    arguments = params.arguments or {}
    meta = dict(params.meta or {})
    leave(f"call {params.name} {meta.get(KEY, '')} {meta.get('traceparent', '')}")
    return await TOOLS[params.name](context, arguments, meta)


def said(text: str, **rest: Any) -> t.CallToolResult:
    return t.CallToolResult(content=[t.TextContent(type="text", text=text)], **rest)


async def echo(context: Any, arguments: Any, meta: Any) -> t.CallToolResult:
    return said(arguments["text"], structured_content={"text": arguments["text"]})


async def note(context: Any, arguments: Any, meta: Any) -> t.CallToolResult:
    line = f"{meta.get(KEY)} {arguments['line']}"
    if line not in lines(folder(), "notes"):
        leave(line, trail="notes")
    return said("noted")


async def push(context: Any, arguments: Any, meta: Any) -> t.CallToolResult:
    await asyncio.sleep(0.2)
    leave(str(arguments["n"]), trail="pushed")
    await asyncio.sleep(0.2)
    return said(f"pushed {arguments['n']}")


async def count(context: Any, arguments: Any, meta: Any) -> t.CallToolResult:
    for n in range(arguments["n"]):
        await context.session.report_progress(n + 1, arguments["n"], f"number {n + 1}")
    return said(str(arguments["n"]))


_meeting: dict[str, asyncio.Event] = {}


async def meet(context: Any, arguments: Any, meta: Any) -> t.CallToolResult:
    _meeting[arguments["name"]] = asyncio.Event()
    if len(_meeting) == arguments["of"]:
        for event in _meeting.values():
            event.set()
    await _meeting[arguments["name"]].wait()
    return said(f"met as {arguments['name']}")


async def hang(context: Any, arguments: Any, meta: Any) -> t.CallToolResult:
    leave("hanging")
    try:
        await asyncio.Event().wait()
    finally:
        leave("cancelled")
    return said("never")


async def die(context: Any, arguments: Any, meta: Any) -> t.CallToolResult:
    print("I am dying", file=sys.stderr, flush=True)  # noqa: T201
    os._exit(3)


async def spawn(context: Any, arguments: Any, meta: Any) -> t.CallToolResult:
    """A process that has left the group and ignores what it can."""
    code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", code],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return said(str(child.pid))


async def about(context: Any, arguments: Any, meta: Any) -> t.CallToolResult:
    import resource

    limits = {
        name: resource.getrlimit(getattr(resource, name))[0]
        for name in ("RLIMIT_DATA", "RLIMIT_NOFILE", "RLIMIT_CPU", "RLIMIT_CORE")
    }
    facts = {"pid": os.getpid(), "cwd": os.getcwd(), "env": dict(os.environ), "limits": limits}
    return said(json.dumps(facts))


async def mixed(context: Any, arguments: Any, meta: Any) -> t.CallToolResult:
    return t.CallToolResult(
        content=[
            t.TextContent(type="text", text="first"),
            t.ImageContent(type="image", data="AAAA", mime_type="image/png"),
            t.ResourceLink(type="resource_link", name="report", uri="file:///report.pdf"),
            t.EmbeddedResource(
                type="resource",
                resource=t.TextResourceContents(
                    uri="note://1", text="inside", mime_type="text/plain"
                ),
            ),
            t.TextContent(type="text", text="nul \0 here"),
        ],
        structured_content={"big": 2**70, "nul": "a\0b", "list": [1, None]},
    )


async def flood(context: Any, arguments: Any, meta: Any) -> t.CallToolResult:
    return said("x" * arguments["n"])


async def fail(context: Any, arguments: Any, meta: Any) -> t.CallToolResult:
    return said("the disk is full", is_error=True)


async def refuse(context: Any, arguments: Any, meta: Any) -> t.CallToolResult:
    from mcp.shared.exceptions import MCPError

    raise MCPError(code=-32042, message="not on a Sunday")


TOOLS = {
    "echo": echo,
    "note": note,
    "push": push,
    "count": count,
    "meet": meet,
    "hang": hang,
    "die": die,
    "spawn": spawn,
    "about": about,
    "mixed": mixed,
    "flood": flood,
    "fail": fail,
    "refuse": refuse,
}


def input_schema(name: str) -> dict[str, Any] | None:
    found: dict[str, Any] = DEFINITIONS.get(name, {}).get("inputSchema")
    return found


def server() -> Server[Any]:
    return Server(
        "upstream",
        version="1.2",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        get_tool_input_schema=input_schema,
    )


async def over_stdio() -> None:
    leave(f"started {os.getpid()}")
    if os.environ.get("UPSTREAM_WORDS"):
        print(os.environ["UPSTREAM_WORDS"], file=sys.stderr, flush=True)  # noqa: T201
    if os.environ.get("UPSTREAM_DEAF"):  # does not even leave when its input ends
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(600)  # noqa: ASYNC251
    async with stdio_server() as (reading, writing):
        app = server()
        await app.run(reading, writing, app.create_initialization_options())


def application() -> Any:
    from contextlib import AsyncExitStack

    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    manager = StreamableHTTPSessionManager(
        server(),
        stateless=not os.environ.get("UPSTREAM_LEGACY"),
        json_response=bool(os.environ.get("UPSTREAM_JSON")),
    )
    stack = AsyncExitStack()
    wanted = os.environ.get("UPSTREAM_TOKEN", "")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await stack.enter_async_context(manager.run())
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await stack.aclose()
            await send({"type": "lifespan.shutdown.complete"})
            return
        headers = dict(scope["headers"])
        if os.environ.get("UPSTREAM_LEGACY") and headers.get(b"mcp-method"):
            await _answer(send, 400)  # a server from before 2026 knows no such request
        elif wanted and headers.get(b"authorization") != f"Bearer {wanted}".encode():
            await _answer(send, 401)
        elif scope["path"] == "/moved":
            await _answer(send, 307, (b"location", scope["query_string"]))
        elif scope["path"] == "/broken":
            await _answer(send, 500)
        else:
            await manager.handle_request(scope, receive, send)

    return app


async def _answer(send: Any, status: int, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": b"refused"})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    port = parser.parse_args().port
    if not port:
        asyncio.run(over_stdio())
        return
    import uvicorn

    uvicorn.run(application(), host="127.0.0.1", port=port, log_level="warning", ws="none")


if __name__ == "__main__":
    main()
