"""Tools for the memory that an agent carries in its prompt, and for what it decided."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from apps.context.services import remembering
from apps.context.tools import answers
from apps.context.tools.changing import touched_space
from apps.context.types import WriteResult
from apps.tools.types import BuiltinTool, Effect, Risk, ToolContext, ToolResult, Trust
from octavo.kernel.scope import PrincipalKind


def append(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    written = remembering.append_to_block(
        scope=context.scope,
        space=arguments["space"],
        name=arguments["block"],
        text=arguments["text"],
        why=arguments["why"],
        agent=_own_name(context),
        step=context.step,
        approved=context.approved,
    )
    return _done(written, arguments["block"])


def replace(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    written = remembering.replace_in_block(
        scope=context.scope,
        space=arguments["space"],
        name=arguments["block"],
        old=arguments["old"],
        new=arguments["new"],
        why=arguments["why"],
        agent=_own_name(context),
        step=context.step,
        approved=context.approved,
    )
    return _done(written, arguments["block"])


def decide(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    written = remembering.record_decision(
        scope=context.scope,
        space=arguments["space"],
        decided=arguments["decided"],
        why=arguments["why"],
        alternatives=arguments.get("alternatives", ()),
        evidence=arguments.get("evidence", ()),
        outcome=arguments.get("outcome", ""),
        key=arguments.get("key", ""),
        step=context.step,
        approved=context.approved,
    )
    return _done(written, "decision")


def _own_name(context: ToolContext) -> str:
    """The agent whose own blocks come first; a person writes to the shared ones."""
    principal = context.scope.principal
    return principal.name if principal.kind is PrincipalKind.AGENT else ""


def _done(written: WriteResult, what: str) -> ToolResult:
    number = written.revision.number
    return ToolResult(
        text=f"{what} is at revision {number} now.",
        structured={"revision": number, "changed": written.changed},
        trust=Trust.TRUSTED,
    )


def _keeping(name: str, description: str, handler: Any, schema: Any) -> BuiltinTool:
    return BuiltinTool(
        name=name,
        description=description,
        input_schema=schema,
        handler=handler,
        touches=touched_space,
        risk=Risk.WRITE,
        egress=False,
        effect=Effect.KEYED,
        timeout=timedelta(seconds=60),
    )


_BLOCK: Final = {
    "type": "string",
    "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$",
    "description": "Name of the memory block, such as user or plan.",
}
_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 8000}

TOOLS: Final = (
    _keeping(
        "memory_append",
        "Add a line to a memory block, which is always in the prompt; a block that does not exist "
        "is begun. `why` is kept in its history.",
        append,
        answers.schema(
            ("space", "block", "text", "why"),
            space=answers.SPACE,
            block=_BLOCK,
            text=_TEXT,
            why=answers.WHY,
        ),
    ),
    _keeping(
        "memory_replace",
        "Replace a part of a memory block, quoted so that it stands there exactly once, to correct "
        "or shorten it. An empty `new` removes the part.",
        replace,
        answers.schema(
            ("space", "block", "old", "new", "why"),
            space=answers.SPACE,
            block=_BLOCK,
            old=_TEXT,
            new={"type": "string", "maxLength": 8000},
            why=answers.WHY,
        ),
    ),
    _keeping(
        "memory_decide",
        "Record a decision: what was decided and why, what else was possible, on which evidence, "
        "and, under the same `key` later, how it went.",
        decide,
        answers.schema(
            ("space", "decided", "why"),
            space=answers.SPACE,
            decided={"type": "string", "minLength": 1, "maxLength": 500},
            why=answers.WHY,
            alternatives={
                "type": "array",
                "maxItems": 20,
                "items": answers.schema(
                    ("option",), option={"type": "string"}, reason={"type": "string"}
                ),
            },
            evidence={"type": "array", "items": {"type": "object"}, "maxItems": 100},
            outcome={"type": "string", "maxLength": 2000},
            key=answers.KEY,
        ),
    ),
)
