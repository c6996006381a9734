"""The tools through which agents use the store: what they read is cited, what they write says why.

They take the caller's scope as it is, so an agent sees the spaces that its definition grants.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from apps.context import access, selectors
from apps.context.services import searching, writing
from apps.context.types import EntryKind, SearchHit, SearchMode
from apps.tools.types import BuiltinTool, Effect, Risk, ToolContext, ToolResult, Trust
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import PrincipalKind

_TEXT_CAP: Final = 24_000

_SPACE = {"type": "string", "minLength": 1, "description": "Name of the space."}
_KEY = {"type": "string", "minLength": 1, "description": "Key of the entry, such as docs/start.md."}


def _schema(required: tuple[str, ...], **properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def search(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    scope = context.scope
    spaces = arguments.get("spaces") or [space.name for space in access.all_readable(scope=scope)]
    if not spaces:
        raise NotFound("You may read no space. Ask for one to be granted.")
    found = searching.search(
        scope=scope,
        query=arguments["query"],
        spaces=spaces,
        limit=arguments.get("limit", 5),
        mode=SearchMode(arguments.get("mode", SearchMode.HYBRID)),
        step=context.step,
    )
    parts = [f"[{place}] {_cite(hit)}\n{hit.text}" for place, hit in enumerate(found.hits, start=1)]
    return ToolResult(
        text="\n\n".join(parts)
        or "Nothing was found. Try other words, or list the spaces' entries.",
        structured={"results": [_result(hit) for hit in found.hits], "as_of": dict(found.as_of)},
        trust=_trust(hit.trust for hit in found.hits),
        evidence=tuple(_evidence(hit) for hit in found.hits),
    )


def open_entry(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    entry = selectors.get_entry(scope=context.scope, space=arguments["space"], key=arguments["key"])
    start = arguments.get("start", 0)
    text = entry.text[start : start + _TEXT_CAP]
    rest = len(entry.text) - start - len(text)
    if rest > 0:
        text += f"\n[{rest} more characters: open again with start={start + _TEXT_CAP}]"
    place = {"space": entry.space, "key": entry.key, "revision": entry.revision.number}
    return ToolResult(
        text=text,
        structured=place | {"length": len(entry.text), "start": start},
        trust=_trust([entry.trust]),
        evidence=(place,),
    )


def list_entries(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    scope = context.scope
    if "space" not in arguments:
        spaces = selectors.list_spaces(scope=scope, limit=200)
        lines = [f"{space.name} ({space.kind}, {space.entries} entries)" for space in spaces]
        names = [space.name for space in spaces]
        return ToolResult(
            text="\n".join(lines) or "You may read no space.",
            structured={"spaces": names},
            trust=Trust.TRUSTED,
        )
    limit = arguments.get("limit", 100)
    entries = selectors.list_entries(
        scope=scope, space=arguments["space"], prefix=arguments.get("prefix", ""), limit=limit
    )
    lines = [f"{entry.key} (revision {entry.revision.number})" for entry in entries]
    return ToolResult(
        text="\n".join(lines) or "There is no such entry.",
        structured={"entries": [entry.key for entry in entries], "complete": len(entries) < limit},
        trust=_trust(entry.trust for entry in entries),
    )


def write(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    """An agent may pass on what it has read, so what it writes is untrusted."""
    by_agent = context.scope.principal.kind is PrincipalKind.AGENT
    written = writing.write_entry(
        scope=context.scope,
        space=arguments["space"],
        key=arguments["key"],
        content=arguments["content"],
        why=arguments["why"],
        kind=EntryKind(arguments.get("kind", EntryKind.MEMORY)),
        base_rev=arguments.get("base_rev"),
        trust=Trust.UNTRUSTED if by_agent else Trust.TRUSTED,
        step=context.step,
    )
    number = written.revision.number
    done = (
        f"Wrote revision {number}" if written.changed else f"Unchanged: revision {number} says it"
    )
    return ToolResult(
        text=f"{done} of {arguments['key']} in {arguments['space']}.",
        structured={
            "revision": number,
            "changed": written.changed,
            "chunks": written.chunks,
            "embedded": written.embedded,
        },
        trust=Trust.TRUSTED,
    )


def _cite(hit: SearchHit) -> str:
    place = hit.citation
    where = f"{place.space}/{place.key}, revision {place.revision}"
    return f"{where}, characters {place.start}-{place.end}"


def _evidence(hit: SearchHit) -> Mapping[str, Any]:
    place = hit.citation
    return {
        "space": place.space,
        "key": place.key,
        "revision": place.revision,
        "chunk": place.chunk,
        "start": place.start,
        "end": place.end,
    }


def _result(hit: SearchHit) -> Mapping[str, Any]:
    return {
        **_evidence(hit),
        "text": hit.text,
        "score": round(hit.score, 4),
        "trust": hit.trust,
    }


def _trust(labels: Any) -> Trust:
    return Trust.UNTRUSTED if "untrusted" in set(labels) else Trust.TRUSTED


TOOLS = (
    BuiltinTool(
        name="context_search",
        description=(
            "Search shared context by meaning and by words. Returns passages with their source. "
            "Searches every readable space unless some are named."
        ),
        input_schema=_schema(
            ("query",),
            query={"type": "string", "minLength": 1, "maxLength": searching.MAX_QUERY},
            spaces={"type": "array", "items": _SPACE, "maxItems": 50},
            limit={"type": "integer", "minimum": 1, "maximum": 20},
            mode={"enum": [mode.value for mode in SearchMode]},
        ),
        handler=search,
        risk=Risk.READ,
        egress=False,
        effect=Effect.PURE,
        timeout=timedelta(seconds=60),
    ),
    BuiltinTool(
        name="context_open",
        description="Read an entry of a space in full; long ones from character `start` on.",
        input_schema=_schema(
            ("space", "key"), space=_SPACE, key=_KEY, start={"type": "integer", "minimum": 0}
        ),
        handler=open_entry,
        risk=Risk.READ,
        egress=False,
        effect=Effect.PURE,
    ),
    BuiltinTool(
        name="context_list",
        description="List the spaces that may be read or, with `space`, the entries of one.",
        input_schema=_schema(
            (),
            space=_SPACE,
            prefix={"type": "string", "description": "Only keys that begin with this."},
            limit={"type": "integer", "minimum": 1, "maximum": 200},
        ),
        handler=list_entries,
        risk=Risk.READ,
        egress=False,
        effect=Effect.PURE,
    ),
    BuiltinTool(
        name="context_write",
        description=(
            "Write an entry into a space: a new revision, the old ones stay. `why` is kept in the "
            "history. `base_rev` refuses the write if somebody else has written since."
        ),
        input_schema=_schema(
            ("space", "key", "content", "why"),
            space=_SPACE,
            key=_KEY,
            content={"type": "string"},
            why={"type": "string", "minLength": 1, "maxLength": 500},
            kind={"enum": [kind.value for kind in EntryKind]},
            base_rev={"type": "integer", "minimum": 0},
        ),
        handler=write,
        risk=Risk.WRITE,
        egress=False,
        effect=Effect.KEYED,
        timeout=timedelta(seconds=120),
    ),
)
