"""Agents and their versions as others see them.

`get_agent`, `list_agents` and `list_versions` are for people and programs, and ask whether they may
read; the others are for services, which ask a policy of their own about what they do.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from uuid import UUID

from apps.agents import codec
from apps.agents.models import Agent, AgentVersion
from apps.agents.types import AgentView, Definition
from apps.governance.services import decisions
from apps.governance.types import Action, Resource, ResourceKind
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import Scope

_READS = (Action.RUN_READ, Action.AGENT_MANAGE)


def get_agent(*, scope: Scope, name: str, version: int | None = None) -> AgentView:
    """The newest version, or the one asked for. Raises `NotFound`, also for a caller who may not
    read the project.
    """
    if not _may_read(scope):
        raise _missing(name)
    return get_agent_unchecked(scope=scope, name=name, version=version)


def get_agent_unchecked(*, scope: Scope, name: str, version: int | None = None) -> AgentView:
    """The same for a service that decides by itself what the caller may do with the agent."""
    agent = _row(scope, name)
    number = agent.head if version is None else version
    row = AgentVersion.objects.filter(agent=agent, number=number).first()
    if row is None:
        raise NotFound(f"Agent {name!r} has no version {number}: its newest is {agent.head}.")
    return _view(agent, row)


def get_version_id(*, agent_id: UUID, version: int) -> UUID:
    """The id that a run pins. Raises `NotFound`."""
    found = AgentVersion.objects.filter(agent_id=agent_id, number=version).values_list("id")
    row = found.first()
    if row is None:
        raise NotFound(f"There is no version {version} of agent {agent_id}.")
    return row[0]


def list_agents(*, scope: Scope, limit: int = 50, before: UUID | None = None) -> list[AgentView]:
    """Newest agents first, each at its newest version; none for a caller who may not read."""
    if not _may_read(scope):
        return []
    agents = Agent.objects.filter(project_id=scope.project_id).order_by("-id")
    if before is not None:
        agents = agents.filter(id__lt=before)
    return _at_head(list(agents[:limit]))


def list_startable(*, scope: Scope) -> list[AgentView]:
    """The agents that the caller may start, by name, each at its newest version."""
    allowed = decisions.allowed_ids(scope=scope, action=Action.RUN_START, kind=ResourceKind.AGENT)
    agents = list(Agent.objects.filter(project_id=scope.project_id, id__in=allowed))
    return sorted(_at_head(agents), key=lambda agent: agent.name)


def list_resources(*, scope: Scope) -> list[Resource]:
    """Every agent of the project, for batch decisions."""
    rows = Agent.objects.filter(project_id=scope.project_id).order_by("name")
    return [
        Resource(kind=ResourceKind.AGENT, id=agent_id, name=name)
        for agent_id, name in rows.values_list("id", "name")
    ]


def agent_names(*, scope: Scope, agent_ids: Sequence[UUID]) -> Mapping[UUID, str]:
    """The names of those agents that the project has; none for a caller who may not read."""
    if not (agent_ids and _may_read(scope)):
        return {}
    rows = Agent.objects.filter(project_id=scope.project_id, id__in=agent_ids)
    return dict(rows.values_list("id", "name"))


def list_versions(
    *, scope: Scope, name: str, limit: int = 50, before: int | None = None
) -> list[AgentView]:
    """Newest version first. Raises `NotFound` for an unknown agent, and for a caller who may not
    read the project.
    """
    if not _may_read(scope):
        raise _missing(name)
    agent = _row(scope, name)
    rows = AgentVersion.objects.filter(agent=agent).order_by("-number")
    if before is not None:
        rows = rows.filter(number__lt=before)
    return [_view(agent, row) for row in rows[:limit]]


@lru_cache(maxsize=1024)
def get_definition(*, version_id: UUID) -> Definition:
    """The definition that a run is pinned to. Versions never change, so this may be remembered."""
    row = AgentVersion.objects.filter(id=version_id).only("definition").first()
    if row is None:
        raise NotFound(f"There is no agent version {version_id}.")
    return codec.from_json(row.definition)


def find_head_definition(*, agent_id: UUID) -> Definition | None:
    """The newest definition of an agent that acts outside a run."""
    row = AgentVersion.objects.filter(agent_id=agent_id).order_by("-number").first()
    return codec.from_json(row.definition) if row else None


def _at_head(agents: list[Agent]) -> list[AgentView]:
    versions = AgentVersion.objects.filter(agent__in=agents).order_by("agent_id", "-number")
    heads = {row.agent_id: row for row in versions.distinct("agent_id")}
    return [_view(agent, heads[agent.id]) for agent in agents]


def _row(scope: Scope, name: str) -> Agent:
    agent = Agent.objects.filter(project_id=scope.project_id, name=name).first()
    if agent is None:
        raise _missing(name)
    return agent


def _missing(name: str) -> NotFound:
    return NotFound(
        f"There is no agent {name!r} that you may read. GET /api/v1/agents lists those there are."
    )


def _may_read(scope: Scope) -> bool:
    """Whoever may see what runs did, or may save agents."""
    return any(
        scope.project_id
        in decisions.allowed_ids(scope=scope, action=action, kind=ResourceKind.PROJECT)
        for action in _READS
    )


def _view(agent: Agent, row: AgentVersion) -> AgentView:
    return AgentView(
        id=agent.id,
        name=agent.name,
        version=row.number,
        definition=codec.from_json(row.definition),
        saved_by=row.saved_by,
        created_at=row.created_at,
    )
