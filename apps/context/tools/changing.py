"""Tools that change a space: write and roll back. Policy is asked about the space as well, and is
told when a person approved the very call.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from apps.context import access, filters
from apps.context.services import versions, writing
from apps.context.tools import answers
from apps.context.types import EntryKind
from apps.governance.types import Action, Resource
from apps.tools.types import BuiltinTool, Effect, Risk, ToolContext, ToolResult, Trust
from octavo.kernel.scope import PrincipalKind


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
        metadata=arguments.get("metadata"),
        sources=arguments.get("sources", ()),
        valid_from=_time(arguments, "valid_from"),
        valid_to=_time(arguments, "valid_to"),
        expires_at=_time(arguments, "expires_at"),
        trust=Trust.UNTRUSTED if by_agent else Trust.TRUSTED,
        step=context.step,
        approved=context.approved,
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


def roll_back(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    changed = versions.roll_back(
        scope=context.scope,
        space=arguments["space"],
        to=arguments["to"],
        why=arguments["why"],
        step=context.step,
        approved=context.approved,
    )
    return ToolResult(
        text=(
            f"{changed.space} says again what it said at {changed.to}: {len(changed.changes)} keys "
            f"changed. It is at {changed.seq} now."
        ),
        structured={
            "seq": changed.seq,
            "changes": [
                {"key": change.key, "kind": str(change.kind)} for change in changed.changes
            ],
        },
        trust=Trust.TRUSTED,
    )


def touched_space(
    context: ToolContext, arguments: Mapping[str, Any]
) -> tuple[tuple[Action, Resource], ...]:
    """The space named in the arguments; none if it does not exist, which the handler refuses."""
    space = access.find_space(scope=context.scope, name=arguments["space"])
    return ((Action.CONTEXT_WRITE, access.resource_of(space)),) if space else ()


def _time(arguments: Mapping[str, Any], name: str) -> datetime | None:
    return filters.read_time(f"/{name}", arguments[name]) if name in arguments else None


TOOLS: Final = (
    BuiltinTool(
        name="context_write",
        description=(
            "Write an entry into a space: a new revision, the old ones stay. `why` is kept in the "
            "history. `base_rev` refuses the write if somebody else has written since."
        ),
        input_schema=answers.schema(
            ("space", "key", "content", "why"),
            space=answers.SPACE,
            key=answers.KEY,
            content={"type": "string"},
            why=answers.WHY,
            kind={"enum": [kind.value for kind in EntryKind]},
            base_rev=answers.NUMBER,
            metadata={"type": "object"},
            sources={
                "type": "array",
                "items": {"type": "object"},
                "maxItems": 100,
                "description": "What it rests on, such as {space, key, revision} or {url}.",
            },
            valid_from=answers.TIME,
            valid_to=answers.TIME,
            expires_at=answers.TIME,
        ),
        handler=write,
        touches=touched_space,
        risk=Risk.WRITE,
        egress=False,
        effect=Effect.KEYED,
        timeout=timedelta(seconds=120),
    ),
    BuiltinTool(
        name="context_rollback",
        description=(
            "Make a space say again what it said at a sequence number or a snapshot. The history "
            "stays, so this can be undone in the same way."
        ),
        input_schema=answers.schema(
            ("space", "to", "why"),
            space=answers.SPACE,
            to={
                "description": "A sequence number, or the name of a snapshot.",
                "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "minLength": 1}],
            },
            why=answers.WHY,
        ),
        handler=roll_back,
        touches=touched_space,
        risk=Risk.WRITE,
        egress=False,
        effect=Effect.KEYED,
        timeout=timedelta(seconds=120),
    ),
)
