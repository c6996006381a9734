"""The tools that the conformance suite calls, answered beside Octavo's own on the same server."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types as t
from mcp.shared.exceptions import MCPError

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmM"
    "IQAAAABJRU5ErkJggg=="
)
SILENCE = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}

Handler = Callable[[Any, t.CallToolRequestParams], Awaitable[Any]]
TOOLS: dict[str, t.Tool] = {}
HANDLERS: dict[str, Handler] = {}


def tool(schema: dict[str, Any] | None = None) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        name = handler.__name__
        TOOLS[name] = t.Tool(name=name, description=name, input_schema=schema or NO_ARGUMENTS)
        HANDLERS[name] = handler
        return handler

    return register


def strings(*names: str) -> dict[str, Any]:
    properties = {name: {"type": "string"} for name in names}
    return {"type": "object", "properties": properties, "required": list(names)}


def text(*lines: str) -> t.CallToolResult:
    return t.CallToolResult(content=[t.TextContent(text=line) for line in lines])


def shown(uri: str, kind: str, content: str) -> t.EmbeddedResource:
    resource = t.TextResourceContents(uri=uri, mime_type=kind, text=content)
    return t.EmbeddedResource(resource=resource)


@tool()
async def test_simple_text(context: Any, params: Any) -> Any:
    return text("This is a simple text response for testing.")


@tool()
async def test_image_content(context: Any, params: Any) -> Any:
    return t.CallToolResult(content=[t.ImageContent(data=PIXEL, mime_type="image/png")])


@tool()
async def test_audio_content(context: Any, params: Any) -> Any:
    return t.CallToolResult(content=[t.AudioContent(data=SILENCE, mime_type="audio/wav")])


@tool()
async def test_embedded_resource(context: Any, params: Any) -> Any:
    content = "This is an embedded resource content."
    return t.CallToolResult(content=[shown("test://embedded-resource", "text/plain", content)])


@tool()
async def test_multiple_content_types(context: Any, params: Any) -> Any:
    data = '{"test":"data","value":123}'
    return t.CallToolResult(
        content=[
            t.TextContent(text="Multiple content types test:"),
            t.ImageContent(data=PIXEL, mime_type="image/png"),
            shown("test://mixed-content-resource", "application/json", data),
        ]
    )


@tool()
async def test_tool_with_logging(context: Any, params: Any) -> Any:
    for message in (
        "Tool execution started",
        "Tool processing data",
        "Tool execution completed",
    ):
        await log(context, message)
        await asyncio.sleep(0.05)
    return text("Logged.")


@tool()
async def test_logging_tool(context: Any, params: Any) -> Any:
    await log(context, "hello")
    return text("Logged.")


async def log(context: Any, message: str) -> None:
    import warnings

    from mcp.shared.exceptions import MCPDeprecationWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        await context.session.send_log_message("info", message, related_request_id="this")


@tool()
async def test_error_handling(context: Any, params: Any) -> Any:
    failed = "This tool intentionally returns an error for testing"
    return t.CallToolResult(content=[t.TextContent(text=failed)], is_error=True)


@tool()
async def test_tool_with_progress(context: Any, params: Any) -> Any:
    for done in (0, 50, 100):
        await context.session.report_progress(done, 100)
        await asyncio.sleep(0.05)
    return text("Reported.")


@tool()
async def test_streaming_elicitation(context: Any, params: Any) -> Any:
    await context.session.report_progress(0.5, 1, "half")
    return text("done")


@tool()
async def test_missing_capability(context: Any, params: Any) -> Any:
    declared = context.session.client_capabilities
    if declared is None or declared.sampling is None:
        wanted = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(t.MISSING_REQUIRED_CLIENT_CAPABILITY, "Declare sampling.", wanted)
    return text("declared")


async def json_schema_2020_12_tool(context: Any, params: Any) -> Any:
    return text("fits")


tool(
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    }
)(json_schema_2020_12_tool)

MIRRORED = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    "required": ["region"],
}


@tool(MIRRORED)
async def test_mirrored_argument(context: Any, params: Any) -> Any:
    return text(params.arguments["region"])
