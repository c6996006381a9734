"""Tools that look: search, pack, open, grep, list, history, diff. Each names what it shows."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from apps.context import access, selectors
from apps.context.services import packing, reading, searching
from apps.context.tools import answers
from apps.context.types import SearchMode
from apps.tools.types import BuiltinTool, Effect, Risk, ToolContext, ToolResult, Trust
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import Scope

_TEXT_CAP: Final = 24_000


def search(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    found = searching.search(
        scope=context.scope,
        query=arguments["query"],
        spaces=_spaces(context.scope, arguments),
        limit=arguments.get("limit", 5),
        mode=SearchMode(arguments.get("mode", SearchMode.HYBRID)),
        as_of=arguments.get("as_of"),
        where=arguments.get("filter"),
        step=context.step,
    )
    parts = [
        f"[{place}] {answers.cite(hit.citation)}\n{hit.text}"
        for place, hit in enumerate(found.hits, start=1)
    ]
    return ToolResult(
        text="\n\n".join(parts)
        or "Nothing was found. Try other words, or list the spaces' entries.",
        structured={
            "results": [answers.result(hit) for hit in found.hits],
            "as_of": dict(found.as_of),
            "degraded": list(found.degraded),
        },
        trust=answers.trust_of(hit.trust for hit in found.hits),
        evidence=tuple(answers.place_of(hit.citation) for hit in found.hits),
    )


def pack(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    packed = packing.pack(
        scope=context.scope,
        query=arguments["query"],
        spaces=_spaces(context.scope, arguments),
        budget=arguments["budget_tokens"],
        step=context.step,
    )
    places = tuple(answers.place_of(passage.citation) for passage in packed.citations)
    return ToolResult(
        text=packed.text or "Nothing was found. Try other words.",
        structured={
            "citations": list(places),
            "tokens": packed.tokens,
            "dropped": [
                {**answers.place_of(left.citation), "reason": str(left.reason)}
                for left in packed.dropped
            ],
        },
        trust=answers.trust_of(passage.trust for passage in packed.citations),
        evidence=places,
    )


def open_entry(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    entry = reading.open_entry(
        scope=context.scope,
        space=arguments["space"],
        key=arguments["key"],
        as_of=arguments.get("as_of"),
        revision=arguments.get("revision"),
        step=context.step,
    )
    start = arguments.get("start", 0)
    text = entry.text[start : start + _TEXT_CAP]
    rest = len(entry.text) - start - len(text)
    if rest > 0:
        text += f"\n[{rest} more characters: open again with start={start + _TEXT_CAP}]"
    place = {"space": entry.space, "key": entry.key, "revision": entry.revision.number}
    return ToolResult(
        text=text,
        structured=place | {"length": len(entry.text), "start": start},
        trust=answers.trust_of([entry.trust]),
        evidence=(place,),
    )


def grep(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    lines = reading.grep(
        scope=context.scope,
        spaces=_spaces(context.scope, arguments),
        text=arguments["text"],
        prefix=arguments.get("prefix", ""),
        ignore_case=arguments.get("ignore_case", False),
        limit=arguments.get("limit", 50),
        step=context.step,
    )
    shown = [f"{line.space}/{line.key}:{line.line}: {line.text}" for line in lines]
    places = {(line.space, line.key, line.revision) for line in lines}
    return ToolResult(
        text="\n".join(shown) or "No line holds that text. Try `context_search`.",
        structured={
            "lines": [
                {
                    "space": line.space,
                    "key": line.key,
                    "revision": line.revision,
                    "line": line.line,
                    "text": line.text,
                }
                for line in lines
            ]
        },
        trust=answers.trust_of(line.trust for line in lines),
        evidence=tuple(
            {"space": space, "key": key, "revision": revision}
            for space, key, revision in sorted(places)
        ),
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
        trust=answers.trust_of(entry.trust for entry in entries),
    )


def list_history(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    revisions = selectors.list_revisions(
        scope=context.scope,
        space=arguments["space"],
        key=arguments["key"],
        limit=arguments.get("limit", 20),
    )
    return ToolResult(
        text="\n".join(answers.revision_line(revision) for revision in revisions),
        structured={
            "revisions": [
                {
                    "revision": revision.number,
                    "seq": revision.seq,
                    "operation": str(revision.operation),
                    "author": revision.author,
                    "why": revision.why,
                }
                for revision in revisions
            ]
        },
        trust=Trust.UNTRUSTED,
    )


def diff(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    found = selectors.get_diff(
        scope=context.scope,
        space=arguments["space"],
        key=arguments["key"],
        before=arguments.get("from"),
        after=arguments.get("to"),
    )
    numbers = {
        "from": found.before.number if found.before else 0,
        "to": found.after.number,
    }
    return ToolResult(
        text=found.unified or "The two revisions have the same text.",
        structured=numbers | {"added": found.added, "removed": found.removed},
        trust=Trust.UNTRUSTED,
        evidence=tuple(
            {"space": found.space, "key": found.key, "revision": number}
            for number in numbers.values()
            if number
        ),
    )


def _spaces(scope: Scope, arguments: Mapping[str, Any]) -> Sequence[str]:
    """Those that were named, else every space that may be read."""
    spaces: Sequence[str] = arguments.get("spaces") or [
        space.name for space in access.all_readable(scope=scope)
    ]
    if not spaces:
        raise NotFound("You may read no space. Ask for one to be granted.")
    return spaces


def _looking(name: str, description: str, handler: Any, schema: Any) -> BuiltinTool:
    return BuiltinTool(
        name=name,
        description=description,
        input_schema=schema,
        handler=handler,
        risk=Risk.READ,
        egress=False,
        effect=Effect.PURE,
        timeout=timedelta(seconds=60),
    )


_QUERY: Final = {"type": "string", "minLength": 1, "maxLength": searching.MAX_QUERY}

TOOLS: Final = (
    _looking(
        "context_search",
        "Search shared context by meaning and by words. Returns passages with their source. "
        "Searches every readable space unless some are named.",
        search,
        answers.schema(
            ("query",),
            query=_QUERY,
            spaces=answers.SPACES,
            limit={"type": "integer", "minimum": 1, "maximum": 20},
            mode={"enum": [mode.value for mode in SearchMode]},
            filter=answers.FILTER,
            as_of=answers.NUMBER | {"description": "Sequence number of the one space named."},
        ),
    ),
    _looking(
        "context_pack",
        "Gather what the spaces say about a question into one text of at most `budget_tokens`, "
        "without repetitions, with the source of each passage.",
        pack,
        answers.schema(
            ("query", "budget_tokens"),
            query=_QUERY,
            spaces=answers.SPACES,
            budget_tokens={
                "type": "integer",
                "minimum": packing.MIN_BUDGET,
                "maximum": packing.MAX_BUDGET,
            },
        ),
    ),
    _looking(
        "context_open",
        "Read an entry of a space in full; long ones from character `start` on. `revision` or "
        "`as_of` (a sequence number of the space) reads it as it was.",
        open_entry,
        answers.schema(
            ("space", "key"),
            space=answers.SPACE,
            key=answers.KEY,
            start={"type": "integer", "minimum": 0},
            revision=answers.NUMBER,
            as_of=answers.NUMBER,
        ),
    ),
    _looking(
        "context_grep",
        "Find the lines that hold a text exactly as it is written, with their line numbers: for "
        "identifiers, error codes and quotations.",
        grep,
        answers.schema(
            ("text",),
            text={"type": "string", "minLength": 1, "maxLength": 500},
            spaces=answers.SPACES,
            prefix={"type": "string", "description": "Only keys that begin with this."},
            ignore_case={"type": "boolean"},
            limit={"type": "integer", "minimum": 1, "maximum": reading.MAX_LINES},
        ),
    ),
    _looking(
        "context_list",
        "List the spaces that may be read or, with `space`, the entries of one.",
        list_entries,
        answers.schema(
            (),
            space=answers.SPACE,
            prefix={"type": "string", "description": "Only keys that begin with this."},
            limit={"type": "integer", "minimum": 1, "maximum": 200},
        ),
    ),
    _looking(
        "context_history",
        "List who changed an entry, when and why, the newest first.",
        list_history,
        answers.schema(
            ("space", "key"),
            space=answers.SPACE,
            key=answers.KEY,
            limit={"type": "integer", "minimum": 1, "maximum": 100},
        ),
    ),
    _looking(
        "context_diff",
        "Show what changed in an entry between revisions `from` and `to`; without them, in its "
        "newest revision.",
        diff,
        answers.schema(
            ("space", "key"),
            space=answers.SPACE,
            key=answers.KEY,
            **{"from": answers.NUMBER, "to": answers.NUMBER | {"minimum": 1}},
        ),
    ),
)
