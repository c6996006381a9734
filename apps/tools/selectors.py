"""Which tools there are, and which of them a definition's patterns grant.

`list_tools` and `get_tool` are for people and programs, and ask whether they may read; the others
are for layers above, which ask a policy of their own about what they do with a tool.
"""

from collections.abc import Sequence
from uuid import UUID

from apps.governance.services import decisions
from apps.governance.types import Action, Resource, ResourceKind
from apps.tools import registry
from apps.tools.models import Effect
from apps.tools.types import EffectState, EffectView, ToolView
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import Scope

_READS = (Action.RUN_READ, Action.AGENT_MANAGE)


def list_tools(*, scope: Scope) -> tuple[ToolView, ...]:
    """Every tool of the project, by name; none for a caller who may not read the project."""
    return tuple(registry.views()) if _may_read(scope) else ()


def find_tool(*, scope: Scope, name: str) -> ToolView | None:
    return next((tool for tool in registry.views() if tool.name == name), None)


def get_tool(*, scope: Scope, name: str) -> ToolView:
    """Raises `NotFound`, also for a caller who may not read the project."""
    tool = find_tool(scope=scope, name=name)
    if tool is None or not _may_read(scope):
        raise NotFound(f"There is no tool {name!r}. GET /api/v1/tools lists those there are.")
    return tool


def list_granted(*, scope: Scope, patterns: Sequence[str]) -> tuple[ToolView, ...]:
    """The tools that the patterns of a definition name, by name, so that prompts stay the same."""
    return tuple(tool for tool in registry.views() if is_granted(tool.name, patterns))


def find_granted(*, scope: Scope, name: str, patterns: Sequence[str]) -> ToolView | None:
    """The tool of that name, if the patterns name it."""
    return find_tool(scope=scope, name=name) if is_granted(name, patterns) else None


def is_granted(name: str, patterns: Sequence[str]) -> bool:
    """Whether `name` is listed, or covered by a pattern that ends in `*`."""
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
        for pattern in patterns
    )


def resource_of(tool: ToolView) -> Resource:
    """What a policy decision about this tool is about."""
    return Resource(kind=ResourceKind.TOOL, id=tool.id, name=tool.name)


def list_resources(*, scope: Scope) -> list[Resource]:
    """Every tool of the project, for batch decisions."""
    return [resource_of(tool) for tool in registry.views()]


def find_effect(*, run_id: UUID, step: str) -> EffectView | None:
    """The ledger's line for a step that called an unsafe tool."""
    row = Effect.objects.filter(run_id=run_id, step=step).first()
    if row is None:
        return None
    return EffectView(
        run_id=row.run_id,
        step=row.step,
        tool=row.tool,
        idempotency_key=row.idempotency_key,
        state=EffectState(row.state),
    )


def _may_read(scope: Scope) -> bool:
    """Whoever may see what runs did, or may grant tools to agents."""
    return any(
        scope.project_id
        in decisions.allowed_ids(scope=scope, action=action, kind=ResourceKind.PROJECT)
        for action in _READS
    )
