"""The MCP server that Octavo is: what it offers, and how it words what goes wrong.

https://modelcontextprotocol.io/specification/2026-07-28

MCPError          a protocol error, passed on
OctavoError       its own sentence under the nearest JSON-RPC code
anything else     -32603 and the number under which the log says more
"""

import hashlib
import hmac
import logging
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import mcp_types as t
from django.conf import settings
from mcp.server import CacheHint, Server, ServerRequestContext
from mcp.server.context import CallNext, HandlerResult
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from apps.api import problems
from apps.api.mcp import cancelling, resources, tasks, toolcalls
from apps.api.mcp.callers import Context, caller_of
from octavo.kernel.errors import OctavoError, Unavailable

NAME = "octavo"
_FRESH_MS = 5_000
_STATE_LASTS = timedelta(hours=24)  # as long as an approval may be given
_INSTRUCTIONS = (
    "Tools, agents and shared context of an Octavo project, as far as your key reaches. Search "
    "shared context with context_search and cite what you use. A call may wait for a person's "
    "approval: do not repeat it, read its result with run_result."
)

logging.getLogger("mcp").setLevel(logging.WARNING)  # it tells of every request


def build() -> Server[Any]:
    """A server without state of its own: every process has one, all alike."""
    server: Server[Any] = Server(
        NAME,
        version=version("octavo"),
        title="Octavo",
        instructions=_INSTRUCTIONS,
        website_url=settings.PUBLIC_URL,
        on_list_tools=toolcalls.list_tools,
        on_call_tool=toolcalls.call_tool,  # type: ignore[arg-type]  # a dict is a task's beginning
        on_list_resources=resources.list_resources,
        on_list_resource_templates=resources.list_templates,
        on_read_resource=resources.read_resource,
        cache_hints={
            "tools/list": CacheHint(ttl_ms=_FRESH_MS),
            "resources/list": CacheHint(ttl_ms=_FRESH_MS),
        },
        # Without it the SDK lists all tools before every call, to see which headers to check.
        get_tool_input_schema=lambda name: None,
    )
    server.middleware[:] = [_in_our_words, _sealed()]  # runs are traced by their journal
    cancelling.add_to(server)
    tasks.add_to(server)
    return server


def _sealed() -> RequestStateBoundary:
    """Alike in all processes: a retry may reach any of them."""
    key = hmac.digest(settings.SECRET_KEY.encode(), b"mcp-request-state", hashlib.sha256)
    security = RequestStateSecurity(
        keys=[key], ttl=_STATE_LASTS.total_seconds(), bind_principal=_principal
    )
    return RequestStateBoundary(security, default_audience=NAME)


def _principal(context: Context) -> str:
    scope = caller_of(context).scope
    return f"{scope.project_id}:{scope.principal.public_id}"


async def _in_our_words(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    try:
        return await call_next(ctx)
    except (MCPError, ValidationError):
        raise
    except OctavoError as error:
        code = t.INTERNAL_ERROR if isinstance(error, Unavailable) else t.INVALID_PARAMS
        raise MCPError(code, str(error)) from error
    except Exception as error:
        raise MCPError(t.INTERNAL_ERROR, problems.of_exception(error).detail) from error
