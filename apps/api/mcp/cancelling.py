"""`notifications/cancelled` of the handshake era, which comes in a request of its own.

A call is found by key, session and request id, so that nobody ends the call of another. In the
newest era a client cancels by closing the stream, which the SDK sees to.
https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/cancellation
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import anyio
import mcp_types as t
from mcp.server import Server
from mcp.shared.exceptions import MCPError

from apps.api.mcp.callers import Context, caller_of

_Name = tuple[UUID | None, str, t.RequestId]
_under_way: dict[_Name, anyio.CancelScope] = {}


def add_to(server: Server[Any]) -> None:
    server.add_notification_handler(
        "notifications/cancelled", t.CancelledNotificationParams, _cancel
    )


@contextmanager
def cancellable(context: Context) -> Iterator[None]:
    """What happens within ends when the client says that it no longer wants the answer."""
    name = _name(context, context.request_id)
    if name is None:
        yield
        return
    with anyio.CancelScope() as scope:
        _under_way[name] = scope
        try:
            yield
        finally:
            _under_way.pop(name, None)
    if scope.cancelled_caught:
        raise MCPError(t.INVALID_REQUEST, "The client cancelled the request.")


async def _cancel(context: Context, params: t.CancelledNotificationParams) -> None:
    name = _name(context, params.request_id)
    scope = _under_way.get(name) if name is not None else None
    if scope is not None:
        scope.cancel()


def _name(context: Context, request_id: t.RequestId | None) -> _Name | None:
    """None without a session, because request ids are told apart by nothing else then."""
    caller = caller_of(context)
    if not caller.session or request_id is None:
        return None
    return caller.scope.key_id, caller.session, request_id
