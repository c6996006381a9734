"""Lists of tools as their server wrote them: one malformed entry must not hide the others.

The SDK checks a whole list at once. So the list is mended before its session sees it, and each
entry carries what the server really wrote.
"""

from collections.abc import Callable, Mapping
from typing import Any

from mcp.client import Client, Transport
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCResponse, ToolListChangedNotification

from apps.tools import definitions

_RAW = "octavo/raw"
_MOST_PAGES = 50
MOST_TOOLS = 300


class Watched:
    """A transport that mends lists, and tells when the other end has said its last."""

    def __init__(self, transport: Transport, *, on_end: Callable[[], None]) -> None:
        self._transport = transport
        self._on_end = on_end

    async def __aenter__(self) -> Any:
        received, sent = await self._transport.__aenter__()
        return _Mended(received, self._on_end), sent

    async def __aexit__(self, *error: Any) -> bool | None:
        return await self._transport.__aexit__(*error)


class _Mended:
    """The SDK's `ReadStream`, with the lists of tools in it mended."""

    def __init__(self, stream: Any, on_end: Callable[[], None]) -> None:
        self._stream = stream
        self._on_end = on_end

    @property
    def last_context(self) -> Any:
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Any:
        return _mended(await self._stream.receive())

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> "_Mended":
        return self

    async def __anext__(self) -> Any:
        try:
            return _mended(await self._stream.__anext__())
        except StopAsyncIteration:
            self._on_end()
            raise

    async def __aenter__(self) -> "_Mended":
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> bool | None:
        ended: bool | None = await self._stream.__aexit__(*error)
        return ended


def _mended(item: Any) -> Any:
    message = item.message if isinstance(item, SessionMessage) else None
    if not isinstance(message, JSONRPCResponse):
        return item
    listed = message.result.get("tools")
    if isinstance(listed, list) and "content" not in message.result:
        message.result["tools"] = [_entry(raw) for raw in listed if definitions.names_a_tool(raw)]
    return item


def _entry(raw: Mapping[str, Any]) -> dict[str, Any]:
    """As much as the session needs: it mirrors arguments into headers by the input schema."""
    schema = raw.get("inputSchema")
    usable = isinstance(schema, dict) and schema.get("type", "object") == "object"
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    return {
        "name": raw["name"],
        "inputSchema": {"type": "object", **(schema or {})}
        if usable and isinstance(properties, dict)
        else {"type": "object"},
        "_meta": {_RAW: raw},
    }


async def list_raw(client: Client) -> list[Mapping[str, Any]]:
    """Every tool as its server wrote it. Raises `ValueError` when there is no end to them."""
    found: list[Mapping[str, Any]] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        found.extend((tool.meta or {}).get(_RAW, {"name": tool.name}) for tool in page.tools)
        if len(found) > MOST_TOOLS:
            break
        cursor = page.next_cursor
        if cursor is None:
            return found
    raise ValueError(f"it lists more than {MOST_TOOLS} tools, or more than {_MOST_PAGES} pages")


def says_changed(message: Any) -> bool:
    """Whether a message of the server means that its list is another now."""
    return isinstance(message, ToolListChangedNotification)
