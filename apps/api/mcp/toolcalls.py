"""`tools/list` and `tools/call`: granted tools, startable agents, and this edge's own few tools.

A name that is not granted and one that does not exist get the same answer.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import mcp_types as t
import orjson
from mcp.shared.exceptions import MCPError

from apps.api.mcp import answers, cancelling, catalogue, finding, tasks
from apps.api.mcp.callers import Context, caller_of
from apps.api.mcp.calling import Exchange
from apps.orchestration import selectors
from apps.orchestration.services import direct
from apps.tools.services import schemas
from octavo.kernel import ids, io
from octavo.kernel.errors import Forbidden, InvalidInput, NotFound, OctavoError
from octavo.kernel.scope import Scope

Result = t.CallToolResult | t.InputRequiredResult | dict[str, Any]

_FOUND = 5
_NOT_MADE_FOR_TOOLS = ("key-scope",)


async def list_tools(
    context: Context, params: t.PaginatedRequestParams | None
) -> t.ListToolsResult:
    offered = await io.db(catalogue.list_offered, caller_of(context).scope)
    return catalogue.page_of(offered, params.cursor if params else None)


async def call_tool(context: Context, params: t.CallToolRequestParams) -> Result:
    name, arguments = params.name, params.arguments or {}
    try:
        if name == catalogue.CALL:
            _check(name, catalogue.CALL_TOOL.input_schema, arguments)
            name, arguments = arguments["name"], arguments.get("arguments") or {}
        if params.request_state is not None:
            is_own = name != catalogue.RESULT
            given = params.input_responses
            return await Exchange(context).retry(params.request_state, given, is_own=is_own)
        with cancelling.cancellable(context):
            return await _call(context, name, arguments)
    except OctavoError as error:
        return answers.failure(str(error))


async def _call(context: Context, name: str, arguments: Mapping[str, Any]) -> Result:
    if name == catalogue.SEARCH:
        return await _search(context, arguments)
    if name == catalogue.RESULT:
        return await _result(context, arguments)
    if name.startswith(catalogue.AGENT_PREFIX):
        return await _ask_agent(context, name, arguments)
    try:
        return await Exchange(context).call_tool(name, arguments)
    except NotFound:
        raise _unknown(name) from None
    except Forbidden as error:
        if error.policies == _NOT_MADE_FOR_TOOLS:
            raise _unknown(name) from None
        raise


async def _ask_agent(context: Context, name: str, arguments: Mapping[str, Any]) -> Result:
    _check(name, catalogue.AGENT_INPUT, arguments)
    agent, exchange = name.removeprefix(catalogue.AGENT_PREFIX), Exchange(context)
    try:
        if tasks.is_declared(context):
            run = await io.db(exchange.start_agent, agent, arguments)
            return tasks.created(exchange.scope, run)
        return await exchange.ask_agent(agent, arguments)
    except (NotFound, Forbidden):
        raise _unknown(name) from None


async def _search(context: Context, arguments: Mapping[str, Any]) -> t.CallToolResult:
    _check(catalogue.SEARCH, catalogue.SEARCH_TOOLS.input_schema, arguments)
    granted = await io.db(catalogue.list_granted, caller_of(context).scope)
    found = finding.find(granted, arguments["query"], limit=arguments.get("limit", _FOUND))
    shown = [
        {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}
        for tool in found
    ]
    text = "\n\n".join(
        f"{tool['name']}: {tool['description']}\nArguments: "
        f"{orjson.dumps(tool['input_schema']).decode()}"
        for tool in shown
    )
    return t.CallToolResult(
        content=[t.TextContent(text=text or "No tool fits. Try other words.")],
        structured_content={"tools": shown},
    )


async def _result(context: Context, arguments: Mapping[str, Any]) -> Result:
    _check(catalogue.RESULT, catalogue.RUN_RESULT.input_schema, arguments)
    exchange = Exchange(context)
    run_id = ids.decode(ids.Kind.RUN, arguments["run"])
    await io.db(_require_readable, exchange.scope, run_id)
    return await exchange.wait_for(run_id, seconds=arguments.get("wait_seconds", 0))


def _require_readable(scope: Scope, run_id: UUID) -> None:
    """Raises `NotFound`: a run may be read by who may read the project's, a call also by who made
    it.
    """
    try:
        selectors.get_run(scope=scope, run_id=run_id)
    except NotFound:
        direct.get_call(scope=scope, run_id=run_id)


def _check(tool: str, schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    lines = schemas.check_instance(schema=schema, instance=dict(arguments))
    if lines:
        raise InvalidInput(
            f"The arguments of {tool} do not fit its schema:\n" + "\n".join(lines),
        )


def _unknown(name: str) -> MCPError:
    return MCPError(t.INVALID_PARAMS, f"Unknown tool: {name}")
