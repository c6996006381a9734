"""Agents as tools of other agents: `agent__scout` gives the agent `scout` a task, `handoff__scout`
hands it the whole run.

Only a definition that names them grants them: `*` alone does not.
"""

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet

from apps.agents import handing
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
_HANDOFF_INPUT = {
    "type": "object",
    "properties": {
        "reason": {
            "type": "string",
            "minLength": 1,
            "description": "Why the other agent is the right one, in a sentence.",
        },
        "note": {
            "type": "string",
            "description": "What it should know beyond the conversation, which it is given.",
        },
    },
    "required": ["reason"],
    "additionalProperties": False,
}


def list_tools(*, scope: Scope, name: str | None = None) -> list[ToolView]:
    """Every agent of the project as a tool, by name, or the one whose tool has this name."""
    told = "Hand a task to the agent {!r} and wait for its answer. It works on its own."
    return [_view(agent, PREFIX, told, _INPUT) for agent in _agents(scope, name, PREFIX)]


def list_handoffs(*, scope: Scope, name: str | None = None) -> list[ToolView]:
    """The same for handing the run over."""
    prefix = handing.PREFIX
    told = (
        "Hand the conversation over to the agent {!r} for good: it goes on in your place, and its "
        "answer is the final one."
    )
    return [_view(agent, prefix, told, _HANDOFF_INPUT) for agent in _agents(scope, name, prefix)]


def _agents(scope: Scope, name: str | None, prefix: str) -> "QuerySet[Agent]":
    agents = Agent.objects.filter(project_id=scope.project_id)
    if name is not None:
        agents = agents.filter(name=name.removeprefix(prefix))
    return agents.order_by("name")


def _view(agent: Agent, prefix: str, told: str, schema: Mapping[str, Any]) -> ToolView:
    """What its run does is decided there, so the hand-over itself only reads."""
    return ToolView(
        id=agent.id,
        name=f"{prefix}{agent.name}",
        description=told.format(agent.name),
        input_schema=schema,
        risk=Risk.READ,
        egress=False,
        effect=Effect.PURE,
        trust=Trust.UNTRUSTED,
        server="agent",
        state=ToolState.APPROVED,
        definition_hash="",
        waits=Waits.RUN,
    )
