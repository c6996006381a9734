"""Agents as tools of other agents: `agent__scout` hands a task to the agent `scout` and gets its
answer, `handoff__scout` hands it the whole conversation.

Only a definition that names them grants them: `*` alone does not.
"""

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet

from apps.agents.models import Agent
from apps.agents.types import HANDOFF_PREFIX
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
_WHY = {
    "type": "object",
    "properties": {
        "why": {
            "type": "string",
            "minLength": 1,
            "maxLength": 500,
            "description": "Why the other agent should go on, in a sentence.",
        },
        "note": {
            "type": "string",
            "maxLength": 4000,
            "description": "What it should know beside the conversation, which it reads in full.",
        },
    },
    "required": ["why"],
    "additionalProperties": False,
}


def list_tools(*, scope: Scope, name: str | None = None) -> list[ToolView]:
    """Every agent of the project as a tool, by name, or the one whose tool has this name."""
    return [
        _view(
            agent,
            name=f"{PREFIX}{agent.name}",
            description=f"Hand a task to the agent {agent.name!r} and wait for its answer. It "
            "works on its own.",
            schema=_INPUT,
            waits=Waits.RUN,
        )
        for agent in _agents(scope, name and name.removeprefix(PREFIX))
    ]


def list_handoffs(*, scope: Scope, name: str | None = None) -> list[ToolView]:
    """The same for handing over to them."""
    return [
        _view(
            agent,
            name=f"{HANDOFF_PREFIX}{agent.name}",
            description=f"Hand the whole conversation over to the agent {agent.name!r}, which goes "
            "on in your place: you are done, and its answer is the answer.",
            schema=_WHY,
            waits=Waits.HANDOFF,
        )
        for agent in _agents(scope, name and name.removeprefix(HANDOFF_PREFIX))
    ]


def _agents(scope: Scope, name: str | None) -> "QuerySet[Agent]":
    agents = Agent.objects.filter(project_id=scope.project_id).order_by("name")
    return agents if name is None else agents.filter(name=name)


def _view(
    agent: Agent, *, name: str, description: str, schema: Mapping[str, Any], waits: Waits
) -> ToolView:
    """What its run does is decided there, so the hand-over itself only reads."""
    return ToolView(
        id=agent.id,
        name=name,
        description=description,
        input_schema=schema,
        risk=Risk.READ,
        egress=False,
        effect=Effect.PURE,
        trust=Trust.UNTRUSTED,
        server="agent",
        state=ToolState.APPROVED,
        definition_hash="",
        waits=waits,
    )
