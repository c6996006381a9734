"""Agents as tools of other agents: `agent__scout` hands a task to the agent `scout`.

Only a definition that names them grants them: `*` alone does not.
"""

from apps.agents.models import Agent
from apps.tools.types import Effect, Risk, ToolState, ToolView, Trust, Waits
from octavo.kernel.scope import Scope

PREFIX = "agent__"
_INPUT = {
    "type": "object",
    "properties": {
        "input": {
            "type": "string",
            "minLength": 1,
            "description": "The whole task: the agent knows nothing of your conversation.",
        }
    },
    "required": ["input"],
    "additionalProperties": False,
}


def list_tools(*, scope: Scope, name: str | None = None) -> list[ToolView]:
    """Every agent of the project as a tool, by name, or the one whose tool has this name."""
    agents = Agent.objects.filter(project_id=scope.project_id)
    if name is not None:
        agents = agents.filter(name=name.removeprefix(PREFIX))
    return [_view(agent) for agent in agents.order_by("name")]


def _view(agent: Agent) -> ToolView:
    """What its run does is decided there, so the hand-over itself only reads."""
    return ToolView(
        id=agent.id,
        name=f"{PREFIX}{agent.name}",
        description=(
            f"Hand a task to the agent {agent.name!r} and wait for its answer. It works on its own."
        ),
        input_schema=_INPUT,
        risk=Risk.READ,
        egress=False,
        effect=Effect.PURE,
        trust=Trust.UNTRUSTED,
        server="agent",
        state=ToolState.APPROVED,
        definition_hash="",
        waits=Waits.RUN,
    )
