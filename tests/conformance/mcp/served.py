"""Octavo's own ASGI application for the conformance suite, which sends no key and has fixtures.

Tests only: the key comes from the environment, and everybody who reaches the port is its owner.
"""

import os
from typing import Any

import mcp_types as t
from mcp.server import Server

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
import octavo.asgi as octavo
from apps.api.mcp import server as product
from tests.conformance.mcp import fixture_context, fixture_rounds, fixture_tools

assert fixture_rounds  # registers its tools
KEY = "OCTAVO_CONFORMANCE_KEY"
_build = product.build


def build() -> Server[Any]:
    """The product's server; what the suite names is answered by the fixtures."""
    server = _build()
    _add_tools(server)
    _add_context(server)
    server.get_tool_input_schema = lambda name: (
        fixture_tools.TOOLS[name].input_schema if name in fixture_tools.TOOLS else None
    )
    return server


def _add_tools(server: Server[Any]) -> None:
    listing, calling = (_handler(server, f"tools/{verb}") for verb in ("list", "call"))

    async def list_tools(context: Any, params: Any) -> Any:
        found = await listing(context, params)
        return found.model_copy(update={"tools": [*found.tools, *fixture_tools.TOOLS.values()]})

    async def call_tool(context: Any, params: Any) -> Any:
        handler = fixture_tools.HANDLERS.get(params.name, calling)
        return await handler(context, params)

    server.add_request_handler("tools/list", t.PaginatedRequestParams, list_tools)
    server.add_request_handler("tools/call", t.CallToolRequestParams, call_tool)


def _add_context(server: Server[Any]) -> None:
    listing, reading = (_handler(server, f"resources/{verb}") for verb in ("list", "read"))
    templates = _handler(server, "resources/templates/list")

    async def list_resources(context: Any, params: Any) -> Any:
        found = await listing(context, params)
        return found.model_copy(
            update={"resources": [*found.resources, *fixture_context.RESOURCES]}
        )

    async def list_templates(context: Any, params: Any) -> Any:
        found = await templates(context, params)
        both = [*found.resource_templates, fixture_context.TEMPLATE]
        return found.model_copy(update={"resource_templates": both})

    async def read_resource(context: Any, params: Any) -> Any:
        found = fixture_context.find_resource(str(params.uri))
        return found or await reading(context, params)

    for method, params, handler in (
        ("resources/list", t.PaginatedRequestParams, list_resources),
        ("resources/templates/list", t.PaginatedRequestParams, list_templates),
        ("resources/read", t.ReadResourceRequestParams, read_resource),
        ("resources/subscribe", t.SubscribeRequestParams, fixture_context.acknowledge),
        ("resources/unsubscribe", t.UnsubscribeRequestParams, fixture_context.acknowledge),
        ("prompts/list", t.PaginatedRequestParams, fixture_context.list_prompts),
        ("prompts/get", t.GetPromptRequestParams, fixture_context.get_prompt),
        ("completion/complete", t.CompleteRequestParams, fixture_context.complete),
        ("logging/setLevel", t.SetLevelRequestParams, fixture_context.acknowledge),
    ):
        server.add_request_handler(method, params, handler)


def _handler(server: Server[Any], method: str) -> Any:
    entry = server.get_request_handler(method)
    assert entry is not None
    return entry.handler


product.build = build


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "http" and not any(
        name == b"authorization" for name, _ in scope["headers"]
    ):
        key = (b"authorization", f"Bearer {os.environ[KEY]}".encode())
        scope = {**scope, "headers": [*scope["headers"], key]}
    await octavo.application(scope, receive, send)
