"""Why an upstream did not answer, in words for a person: the server, the cause, the next step."""

from mcp.shared.exceptions import MCPError
from mcp_types import CONNECTION_CLOSED

from apps.tools.adapters.attempts import Attempt
from apps.tools.types import Transport, Upstream
from octavo.kernel.errors import OctavoError

_LONGEST = 2_000
_NEXT = {
    401: "It wants a credential: set `token` with PATCH /api/v1/tool-servers/{name}.",
    403: "The credential is not allowed to: set another `token` with PATCH "
    "/api/v1/tool-servers/{name}.",
    404: "Nothing is at that address: correct `url` with PATCH /api/v1/tool-servers/{name}.",
}


class CannotConnect(Exception):
    """No connection, and the message says why; nothing of the call was sent."""


def explain(upstream: Upstream, error: BaseException, attempt: Attempt, *, said: str = "") -> str:
    """One line, then what the server itself last said."""
    cause = _cause(_leaf(error), attempt)
    where = upstream.url if upstream.transport is Transport.HTTP else upstream.command
    line = f"Tool server {upstream.server!r} ({where}): {cause}"
    if attempt.status in _NEXT and not attempt.failure:
        line += " " + _NEXT[attempt.status].replace("{name}", upstream.server)
    return f"{line}\n{said}".strip()[:_LONGEST]


def _cause(error: BaseException, attempt: Attempt) -> str:
    if attempt.failure:
        return attempt.failure
    if attempt.status >= 400:
        return f"it answered HTTP {attempt.status}."
    if isinstance(error, TimeoutError):
        return "it did not answer in time."
    if isinstance(error, MCPError) and error.code == CONNECTION_CLOSED:
        return "the connection ended before there was an answer."
    if isinstance(error, MCPError):
        return f"it answered: {error.message}"
    if isinstance(error, OctavoError | CannotConnect | ValueError):
        return str(error).splitlines()[0]
    return f"it does not speak MCP ({type(error).__name__})."


def _leaf(error: BaseException) -> BaseException:
    """The first error of nested groups, which is the one that ended the others."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
