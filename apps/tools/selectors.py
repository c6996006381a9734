"""Which tools and servers there are, and which tools a definition's patterns grant.

Lists and `get_…` are for people and programs, and ask whether they may read; the others are for
layers above, which ask a policy of their own about what they do with a tool. Nothing is cached: an
approval, a quarantine and a disabled server hold from the next question on.
"""

from collections.abc import Sequence

from django.db.models import Q, QuerySet

from apps.governance.services import decisions
from apps.governance.types import Action, Resource, ResourceKind
from apps.tools import naming, registry, rows
from apps.tools.models import Tool, ToolServer
from apps.tools.types import (
    ServerView,
    ToolReview,
    ToolState,
    ToolView,
)
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import Scope

_READS = (Action.RUN_READ, Action.AGENT_MANAGE, Action.TOOL_MANAGE)


def list_tools(*, scope: Scope) -> tuple[ToolView, ...]:
    """Every tool of the project in any state, by name; none for a caller who may not read it."""
    return _sorted(registry.views(), _tools(scope)) if _may_read(scope) else ()


def find_tool(*, scope: Scope, name: str) -> ToolView | None:
    """The tool of that name in any state: what may be called, `find_callable` says."""
    if registry.has(name):
        return registry.view(name)
    source = registry.source_of(name)
    if source is not None:
        return next(iter(source(scope=scope, name=name)), None)
    row = _tools(scope).filter(name=name).first() if naming.is_upstream(name) else None
    return rows.tool_view(row) if row else None


def get_tool(*, scope: Scope, name: str) -> ToolView:
    """Raises `NotFound`, also for a caller who may not read the project."""
    tool = find_tool(scope=scope, name=name)
    if tool is None or not _may_read(scope):
        raise _no_tool(name)
    return tool


def get_review(*, scope: Scope, name: str) -> ToolReview:
    """`get_tool` with all that a person needs to judge it."""
    tool = get_tool(scope=scope, name=name)
    if tool.is_remote and naming.is_upstream(name):
        return rows.review_of(tool_row(scope=scope, name=name))
    return ToolReview(tool=tool, upstream_name=name, annotations={}, reason="")


def list_granted(*, scope: Scope, patterns: Sequence[str]) -> tuple[ToolView, ...]:
    """The tools that the patterns of a definition name, by name, so that prompts stay the same.

    Of upstream tools only those that a person has approved as they are, that their server still
    lists, and whose server is enabled.
    """
    own = [tool for tool in registry.views() if is_granted(tool.name, patterns)]
    own += _from_sources(scope, patterns)
    wanted = Q()
    for pattern in patterns:
        if pattern.endswith("*"):
            wanted |= Q(name__startswith=pattern[:-1])
        elif naming.is_upstream(pattern) and registry.source_of(pattern) is None:
            wanted |= Q(name=pattern)
    if not wanted:
        return tuple(sorted(own, key=lambda tool: tool.name))
    return _sorted(own, _offered(scope).filter(wanted))


def find_callable(*, scope: Scope, name: str) -> ToolView | None:
    """The tool of that name if it may be called now: built in, or approved as it is, listed by its
    server and that enabled.
    """
    if registry.has(name):
        return registry.view(name)
    row = find_offered(scope=scope, name=name) if naming.is_upstream(name) else None
    return rows.tool_view(row) if row else None


def find_granted(*, scope: Scope, name: str, patterns: Sequence[str]) -> ToolView | None:
    """The tool of that name, if the patterns name it and it may be called now."""
    if not is_granted(name, patterns):
        return None
    if registry.source_of(name) is not None:
        return find_tool(scope=scope, name=name)
    return find_callable(scope=scope, name=name)


def _from_sources(scope: Scope, patterns: Sequence[str]) -> list[ToolView]:
    found: dict[str, ToolView] = {}
    for pattern in patterns:
        source = registry.source_of(pattern)
        if source is not None:
            listed = source(scope=scope, name=None if pattern.endswith("*") else pattern)
            found |= {tool.name: tool for tool in listed if is_granted(tool.name, [pattern])}
    return list(found.values())


def is_granted(name: str, patterns: Sequence[str]) -> bool:
    """Whether `name` is listed, or covered by a pattern that ends in `*`; what a source lists, only
    by a pattern that begins with the prefix of the source.
    """
    source = registry.source_of(name)
    return any(
        registry.source_of(pattern) is source
        and (name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern)
        for pattern in patterns
    )


def resource_of(tool: ToolView) -> Resource:
    """What a policy decision about this tool is about."""
    return Resource(kind=ResourceKind.TOOL, id=tool.id, name=tool.name)


def list_resources(*, scope: Scope) -> list[Resource]:
    """Every tool of the project, for batch decisions."""
    own = [resource_of(tool) for tool in registry.views()]
    pairs = Tool.objects.filter(server__project_id=scope.project_id).order_by("name")
    return own + [
        Resource(kind=ResourceKind.TOOL, id=tool_id, name=name)
        for tool_id, name in pairs.values_list("id", "name")
    ]


def list_servers(*, scope: Scope) -> list[ServerView]:
    """By name. Needs `tool.manage`, because addresses inside the network are shown."""
    decisions.check(scope=scope, action=Action.TOOL_MANAGE, resource=Resource.project_of(scope))
    found = rows.with_counts(ToolServer.objects.filter(project_id=scope.project_id))
    return [rows.server_view(row) for row in found.order_by("name")]


def get_server(*, scope: Scope, name: str) -> ServerView:
    """Needs `tool.manage`. Raises `NotFound`."""
    decisions.check(scope=scope, action=Action.TOOL_MANAGE, resource=Resource.project_of(scope))
    return server_view(server_row(scope=scope, name=name))


def list_server_resources(*, scope: Scope) -> list[Resource]:
    """Every tool server of the project, for batch decisions."""
    found = ToolServer.objects.filter(project_id=scope.project_id).order_by("name")
    return [resource_of_server(row) for row in found]


def resource_of_server(row: ToolServer) -> Resource:
    return Resource(kind=ResourceKind.TOOL_SERVER, id=row.id, name=row.name)


def server_view(row: ToolServer) -> ServerView:
    """The server as it is in the database now."""
    return rows.server_view(rows.with_counts(ToolServer.objects.filter(id=row.id)).get())


def server_row(*, scope: Scope, name: str, lock: bool = False) -> ToolServer:
    """Raises `NotFound`."""
    found = ToolServer.objects.select_for_update() if lock else ToolServer.objects.all()
    row = found.filter(project_id=scope.project_id, name=name).first()
    if row is None:
        raise NotFound(
            f"There is no tool server {name!r}. GET /api/v1/tool-servers lists those there are."
        )
    return row


def tool_row(*, scope: Scope, name: str, lock: bool = False) -> Tool:
    """A tool of a server, read with it. Raises `NotFound`."""
    found = _tools(scope)
    row = (found.select_for_update(of=("self",)) if lock else found).filter(name=name).first()
    if row is None:
        raise _no_tool(name)
    return row


def find_offered(*, scope: Scope, name: str) -> Tool | None:
    """The tool's row if it may be called now, read with its server but not its definition."""
    shown = ("description", "input_schema", "output_schema", "annotations", "warnings", "seen")
    return _offered(scope).defer(*shown).filter(name=name).first()


def _tools(scope: Scope) -> "QuerySet[Tool]":
    return Tool.objects.filter(server__project_id=scope.project_id).select_related("server")


def _offered(scope: Scope) -> "QuerySet[Tool]":
    return _tools(scope).filter(
        state=ToolState.APPROVED, missing_since__isnull=True, server__enabled=True
    )


def _sorted(own: Sequence[ToolView], upstream: "QuerySet[Tool]") -> tuple[ToolView, ...]:
    views = [*own, *map(rows.tool_view, upstream)]
    return tuple(sorted(views, key=lambda tool: tool.name))


def _no_tool(name: str) -> NotFound:
    return NotFound(f"There is no tool {name!r}. GET /api/v1/tools lists those there are.")


def _may_read(scope: Scope) -> bool:
    """Whoever may see what runs did, grant tools to agents, or review tools."""
    return any(
        scope.project_id
        in decisions.allowed_ids(scope=scope, action=action, kind=ResourceKind.PROJECT)
        for action in _READS
    )
