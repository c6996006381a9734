"""Entries of readable spaces as MCP resources: what may not be read does not exist.

`octavo://spaces/{space}/entries/{key}`, both parts percent-encoded, `/` in a key left as it is.
https://modelcontextprotocol.io/specification/2026-07-28/server/resources
"""

import base64
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

import mcp_types as t
import orjson
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from apps.api.mcp.callers import Context, caller_of
from apps.context import selectors as context_store
from apps.context.types import EntrySummary, EntryView
from octavo.kernel import io
from octavo.kernel.errors import InvalidInput, NotFound
from octavo.kernel.scope import Scope

_PREFIX, _MIDDLE = "octavo://spaces/", "/entries/"
_PAGE = 100
_MOST_SPACES = 1000
_MOST_CHARACTERS = 2_000_000
_OLD_NOT_FOUND = -32002  # until 2025-11-25
_TYPES = {".md": "text/markdown", ".json": "application/json", ".html": "text/html"}

TEMPLATE = t.ResourceTemplate(
    uri_template="octavo://spaces/{space}/entries/{+key}",
    name="entry",
    title="Entry of a space",
    description="The whole text of an entry. List resources to see the keys there are.",
)


async def list_resources(
    context: Context, params: t.PaginatedRequestParams | None
) -> t.ListResourcesResult:
    scope = caller_of(context).scope
    return await io.db(_page, scope, params.cursor if params else None)


async def list_templates(
    context: Context, params: t.PaginatedRequestParams | None
) -> t.ListResourceTemplatesResult:
    return t.ListResourceTemplatesResult(resource_templates=[TEMPLATE])


async def read_resource(
    context: Context, params: t.ReadResourceRequestParams
) -> t.ReadResourceResult:
    uri, scope = str(params.uri), caller_of(context).scope
    try:
        entry = await io.db(_read, scope, uri)
    except NotFound as error:
        is_new = context.protocol_version in MODERN_PROTOCOL_VERSIONS
        code = t.INVALID_PARAMS if is_new else _OLD_NOT_FOUND
        raise MCPError(code, str(error), {"uri": uri}) from None
    return t.ReadResourceResult(contents=[_contents(uri, entry)])


def uri_of(space: str, key: str) -> str:
    return f"{_PREFIX}{quote(space, safe='')}{_MIDDLE}{quote(key)}"


def _read(scope: Scope, uri: str) -> EntryView:
    space, found, key = uri.removeprefix(_PREFIX).partition(_MIDDLE)
    if not uri.startswith(_PREFIX) or not (space and found and key):
        raise NotFound(f"There is no resource {uri!r}: they look like {TEMPLATE.uri_template}.")
    entry = context_store.get_entry(scope=scope, space=unquote(space), key=unquote(key))
    if len(entry.text) > _MOST_CHARACTERS:
        raise InvalidInput(
            f"{entry.key!r} has {len(entry.text)} characters, more than fit into one resource. "
            "Read it in parts with the tool context_open."
        )
    return entry


def _contents(uri: str, entry: EntryView) -> t.TextResourceContents:
    return t.TextResourceContents(
        uri=uri,
        mime_type=_type_of(entry.key),
        text=entry.text,
        _meta={"octavo/revision": entry.revision.number, "octavo/trust": entry.trust},
    )


def _page(scope: Scope, cursor: str | None) -> t.ListResourcesResult:
    """Space by space in the order of their names, in each the newest entry first."""
    first, before = _read_cursor(cursor) if cursor else ("", None)
    names = (space.name for space in context_store.list_spaces(scope=scope, limit=_MOST_SPACES))
    entries: list[EntrySummary] = []
    for name in sorted(name for name in names if name >= first):
        place: dict[str, Any] = {"space": name, "before": before if name == first else None}
        wanted = _PAGE - len(entries) + 1
        entries += context_store.list_entries(scope=scope, limit=wanted, **place)
        if len(entries) > _PAGE:
            break
    page = entries[:_PAGE]
    more = _write_cursor(page[-1]) if entries[_PAGE:] else None
    return t.ListResourcesResult(resources=[_listed(entry) for entry in page], next_cursor=more)


def _listed(entry: EntrySummary) -> t.Resource:
    return t.Resource(
        uri=uri_of(entry.space, entry.key),
        name=f"{entry.space}/{entry.key}",
        title=entry.key,
        mime_type=_type_of(entry.key),
    )


def _type_of(key: str) -> str:
    """Of the text that is stored, which for a PDF is what was read from it."""
    return _TYPES.get(PurePosixPath(key).suffix.lower(), "text/plain")


def _write_cursor(entry: EntrySummary) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([entry.space, str(entry.id)])).decode()


def _read_cursor(cursor: str) -> tuple[str, UUID]:
    try:
        space, before = orjson.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
        return str(space), UUID(before)
    except (ValueError, TypeError, AttributeError):
        raise MCPError(
            t.INVALID_PARAMS, "The cursor is none of this server's: list from the beginning."
        ) from None
