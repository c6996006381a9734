"""Calling a tool, once the layer above has checked its arguments and asked policy.

A tool of this process runs here (`call_local`); one that goes over the network is a call in parts,
`prepare` (database) and `send` (network), like every other governed call.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.db import DatabaseError, InterfaceError

from apps.governance.types import Action, Resource
from apps.tools import registry, rows, selectors
from apps.tools.types import (
    PreparedToolCall,
    ToolContext,
    ToolResult,
    ToolUnavailable,
    ToolView,
    Trust,
)
from octavo.kernel.errors import OctavoError

log = logging.getLogger(__name__)


def list_touched(
    *, context: ToolContext, tool: ToolView, arguments: Mapping[str, Any]
) -> tuple[tuple[Action, Resource], ...]:
    """What the call will act on beside the tool itself: policy is asked about each beforehand, so
    that an approval of the call covers it.
    """
    touches = registry.tool(tool.name).touches if registry.has(tool.name) else None
    return touches(context, arguments) if touches else ()


def call_local(*, context: ToolContext, tool: ToolView, arguments: Mapping[str, Any]) -> ToolResult:
    """Run the handler of a built-in tool on validated arguments.

    A refusal of the handler becomes an error result that the model reads. A lost database is not
    the tool's answer: it propagates, and the step is tried again.
    """
    builtin = registry.tool(tool.name)
    assert builtin.handler is not None  # noqa: S101  `ToolView.is_remote` says which it is
    try:
        result = builtin.handler(context, arguments)
    except OctavoError as error:
        return _refusal(str(error))
    except (DatabaseError, InterfaceError):
        raise
    except Exception:
        log.exception("Tool %s failed in step %s", tool.name, context.step)
        return _refusal(_failed(tool))
    return _capped(result, builtin.result_cap)


def prepare(
    *, context: ToolContext, tool: ToolView, arguments: Mapping[str, Any]
) -> PreparedToolCall:
    """Everything that `send` needs to know, read from the database.

    A tool that is no longer offered as the caller knows it is prepared as well: `send` answers that
    it was not called.
    """
    call = PreparedToolCall(context=context, tool=tool, arguments=arguments)
    if registry.has(tool.name):
        return replace(call, result_cap=registry.tool(tool.name).result_cap)
    from apps.tools.adapters import mcp_client  # noqa: F401  here, because it would hold up a loop

    row = selectors.find_offered(scope=context.scope, name=tool.name)
    if row is None or row.definition_hash != tool.definition_hash:
        return replace(call, refusal=f"The tool {tool.name} is no longer offered. Do without it.")
    return replace(
        call,
        upstream=rows.upstream_of(row.server),
        upstream_name=row.upstream_name,
        result_cap=row.result_cap,
    )


async def send(prepared: PreparedToolCall) -> ToolResult:
    """Make the call; touches no database. Cancelling it cancels the call at the other end.

    Raises `ToolUnavailable` when there was no answer, also when `tool.timeout` is over: `was_sent`
    tells whether the call may have happened all the same.
    """
    tool = prepared.tool
    if prepared.refusal:
        return _refusal(prepared.refusal)
    try:
        result = await _sent(prepared)
    except ToolUnavailable:
        raise
    except OctavoError as error:
        return _refusal(str(error))
    except Exception:
        log.exception("Tool %s failed in step %s", tool.name, prepared.context.step)
        return _refusal(_failed(tool))
    return _capped(result, prepared.result_cap)


async def _sent(prepared: PreparedToolCall) -> ToolResult:
    if prepared.upstream is not None:
        from apps.tools.adapters import mcp_client

        return await mcp_client.call_tool(prepared, prepared.upstream)
    builtin = registry.tool(prepared.tool.name)
    assert builtin.send is not None  # noqa: S101  `ToolView.is_remote` says which it is
    return await builtin.send(prepared.context, prepared.arguments)


def _refusal(text: str) -> ToolResult:
    return ToolResult(text=text, is_error=True, trust=Trust.TRUSTED)


def _failed(tool: ToolView) -> str:
    return f"The tool {tool.name} failed. Its error is in the log of Octavo; try another way."


def _capped(result: ToolResult, cap: int) -> ToolResult:
    if len(result.text) <= cap:
        return result
    kept = result.text[:cap]
    return ToolResult(
        text=f"{kept}\n[cut: {len(result.text) - cap} more characters; ask for less]",
        structured=result.structured,
        is_error=result.is_error,
        trust=result.trust,
        evidence=result.evidence,
    )
