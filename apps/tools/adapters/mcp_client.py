"""One call of an upstream tool, on a connection that is reused; and a look at what a server offers.

A tool is called only while its server shows the definition that a person approved. Beside the
arguments the server gets, in `_meta`, the call's idempotency key and trace context.
"""

import asyncio
from typing import Any, cast

from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    HEADER_MISMATCH,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
    RequestParamsMeta,
)
from pydantic import TypeAdapter, ValidationError

from apps.tools import definitions
from apps.tools.adapters import attempts, mcp_connections, mcp_listing, mcp_results
from apps.tools.adapters.attempts import Attempt
from apps.tools.adapters.mcp_connections import Connection
from apps.tools.adapters.mcp_failures import CannotConnect, explain
from apps.tools.types import (
    Discovery,
    PreparedToolCall,
    ProgressSink,
    ToolResult,
    ToolUnavailable,
    Upstream,
)
from octavo.kernel.errors import UpstreamFailed

IDEMPOTENCY_KEY = "octavo/idempotency-key"
_Answer = CallToolResult | InputRequiredResult
_ANSWER: TypeAdapter[_Answer] = TypeAdapter(_Answer)


async def call_tool(prepared: PreparedToolCall, upstream: Upstream) -> ToolResult:
    """The upstream's answer; an error result in its own words when it refuses or fails.

    Raises `ToolUnavailable` when there was no answer, also when the tool's time is up. Either way,
    and when cancelled, the call is cancelled at the other end and the connection stays.
    """
    seconds = prepared.tool.timeout.total_seconds()
    with attempts.follow() as attempt:
        try:
            async with asyncio.timeout(seconds):
                return await _call(prepared, upstream, attempt)
        except CannotConnect as error:
            raise ToolUnavailable(str(error), was_sent=False) from error
        except TimeoutError:
            raise ToolUnavailable(
                f"The tool {prepared.tool.name} did not answer within {seconds:g} s.",
                was_sent=attempt.was_sent,
            ) from None


async def discover(upstream: Upstream) -> Discovery:
    """What the server says of itself now, over a connection of its own. Raises `UpstreamFailed`."""
    try:
        async with mcp_connections.use_once(upstream) as connection:
            client = await connection.client()
            return Discovery(
                protocol_version=client.protocol_version,
                software=_software(client),
                definitions=definitions.read_all(await connection.list_raw()),
            )
    except CannotConnect as error:
        raise UpstreamFailed(str(error), retryable=False) from error


def _software(client: Client) -> str:
    known = client.server_info
    text = f"{known.title or known.name} {known.version}" if known else ""
    return "".join(c for c in text if c.isprintable())[:200].strip()


async def _call(prepared: PreparedToolCall, upstream: Upstream, attempt: Attempt) -> ToolResult:
    for _ in range(2):
        async with mcp_connections.use(upstream) as connection:
            await connection.refresh()
            changed = _changed(prepared, connection)
            if changed:
                return mcp_results.error_of(changed, prepared.tool)
            answer = await _ask(prepared, connection, attempt)
            if answer is not None:
                return answer
            connection.end()
    raise CannotConnect(f"Tool server {upstream.server!r} forgets its sessions at once.")


def _changed(prepared: PreparedToolCall, connection: Connection) -> str:
    """Why the tool may not be called as its server shows it now; "" when it may."""
    shown = connection.hashes.get(prepared.upstream_name)
    server = connection.upstream.server
    if shown is None:
        return f"The server {server!r} no longer offers {prepared.tool.name}."
    if shown == prepared.tool.definition_hash:
        return ""
    return (
        f"The server {server!r} has changed the definition of {prepared.tool.name} since a person "
        f"approved it, so it was not called. POST /api/v1/tool-servers/{server}/refresh shows the "
        "change."
    )


async def _ask(
    prepared: PreparedToolCall, connection: Connection, attempt: Attempt
) -> ToolResult | None:
    """The answer, or None when the server has forgotten this session and did nothing."""
    client = await connection.client()
    attempt.was_sent = connection.is_local
    try:
        answer = await _send(client, prepared)
    except MCPError as error:
        if attempt.status == 404 and error.code != METHOD_NOT_FOUND:
            attempt.was_sent = False
            return None
        return _refused(prepared, connection, attempt, error)
    except ValidationError:
        words = "It answered with something that is not the result of a tool."
        return mcp_results.error_of(words, prepared.tool)
    if isinstance(answer, InputRequiredResult):
        words = "It asks for more input, which Octavo cannot give it. Try another way."
        return mcp_results.error_of(words, prepared.tool)
    return mcp_results.result_of(answer, prepared.tool)


async def _send(client: Client, prepared: PreparedToolCall) -> _Answer:
    """Sent once more when the server says that headers do not mirror the arguments as it wants."""
    request = CallToolRequest(
        params=CallToolRequestParams(
            name=prepared.upstream_name,
            arguments=dict(prepared.arguments),
            _meta=_meta(prepared),
        )
    )
    progress = _reporter(prepared.context.on_progress)
    session = client.session
    try:
        return await session.send_request(request, _ANSWER, progress_callback=progress)
    except MCPError as error:
        if error.code != HEADER_MISMATCH:
            raise
    await mcp_listing.list_raw(client)
    return await session.send_request(request, _ANSWER, progress_callback=progress)


def _meta(prepared: PreparedToolCall) -> RequestParamsMeta:
    context = prepared.context
    meta: dict[str, Any] = {IDEMPOTENCY_KEY: context.idempotency_key}
    if context.traceparent:
        meta["traceparent"] = context.traceparent
    return cast("RequestParamsMeta", meta)


def _reporter(sink: ProgressSink | None) -> Any:
    if sink is None:
        return None

    async def report(progress: float, total: float | None, message: str | None) -> None:
        sink(progress, total, message or "")

    return report


def _refused(
    prepared: PreparedToolCall, connection: Connection, attempt: Attempt, error: MCPError
) -> ToolResult:
    """The upstream's own error as a result; raises `ToolUnavailable` where it is none."""
    words = explain(connection.upstream, error, attempt, said=connection.last_words)
    if attempt.failure:
        raise ToolUnavailable(words, was_sent=attempt.was_sent)
    if attempt.status in {401, 403}:
        raise ToolUnavailable(words, was_sent=False)
    if _is_lost(connection, error):
        raise ToolUnavailable(words, was_sent=True)
    if attempt.status >= 400 and error.message == "Server returned an error response":
        raise ToolUnavailable(words, was_sent=attempt.status >= 500)
    return mcp_results.error_of(error.message, prepared.tool)


def _is_lost(connection: Connection, error: MCPError) -> bool:
    """The connection ended in the middle; servers use the same code for errors of their own."""
    if error.code == PARSE_ERROR and error.message.startswith("Failed to parse"):
        return True
    return error.code == CONNECTION_CLOSED and (
        not connection.is_usable or error.message.startswith(("SSE stream", "Connection closed"))
    )
