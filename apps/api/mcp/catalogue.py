"""What one caller is offered: granted tools, startable agents, and the edge's own few tools.

A long list is offered as a search instead, because models choose worse from long lists; every tool
can be called by its name all the same.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import mcp_types as t
from mcp.shared.exceptions import MCPError

from apps.agents import selectors as agents
from apps.agents.types import Access, AgentView
from apps.api.mcp import schemas
from apps.governance.services import decisions
from apps.governance.types import Action, ResourceKind
from apps.tools import selectors as tools
from apps.tools.types import Effect, Risk, ToolState, ToolView
from octavo.kernel.scope import Scope

LONGEST_LIST = 30
AGENT_PREFIX = "agent__"
SEARCH, CALL, RESULT = "search_tools", "call_tool", "run_result"
MAX_WAIT = 300

_PAGE = 100
_READS = t.ToolAnnotations(read_only_hint=True, open_world_hint=False)

AGENT_INPUT = schemas.closed(
    ("input",),
    input={"type": "string", "minLength": 1, "description": "The question or task, in full."},
    session={
        "type": "string",
        "maxLength": 200,
        "description": "A name of your choice that groups this run with others.",
    },
)
AGENT_OUTPUT = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "citations": {"type": "array", "items": {"type": "object"}},
        "run": {"type": "string"},
    },
    "required": ["text", "citations", "run"],
}

RUN_RESULT = t.Tool(
    name=RESULT,
    title="Result of a run",
    description=(
        "Read how a run stands, and its answer once it has one. Use it when a call said that it "
        "waits for an approval or goes on in the background."
    ),
    input_schema=schemas.closed(
        ("run",),
        run={"type": "string", "description": "The run's id, such as run_01h455vb4pex5vsknk0."},
        wait_seconds={
            "type": "integer",
            "minimum": 0,
            "maximum": MAX_WAIT,
            "description": "Wait so long for the run to end. Default 0.",
        },
    ),
    annotations=_READS,
)
SEARCH_TOOLS = t.Tool(
    name=SEARCH,
    title="Search tools",
    description=(
        "Find tools by what they do. There are too many to list: search first, then call one with "
        "`call_tool`."
    ),
    input_schema=schemas.closed(
        ("query",),
        query={"type": "string", "minLength": 1, "maxLength": 1000},
        limit={"type": "integer", "minimum": 1, "maximum": 20, "description": "Default 5."},
    ),
    annotations=_READS,
)
CALL_TOOL = t.Tool(
    name=CALL,
    title="Call a tool",
    description="Call a tool that `search_tools` found, with arguments that fit its input schema.",
    input_schema=schemas.closed(
        ("name",), name={"type": "string", "minLength": 1}, arguments={"type": "object"}
    ),
)


def list_offered(scope: Scope) -> list[t.Tool]:
    """By name, the same for the same grants."""
    granted = list_granted(scope)
    if len(granted) > LONGEST_LIST:
        granted = [SEARCH_TOOLS, CALL_TOOL]
    startable = [_of_agent(agent) for agent in agents.list_startable(scope=scope)]
    return sorted([*granted, *startable, RUN_RESULT], key=lambda tool: tool.name)


def list_granted(scope: Scope) -> list[t.Tool]:
    """Every tool that policy lets the caller call, by name."""
    allowed = set(
        decisions.allowed_ids(scope=scope, action=Action.TOOL_CALL, kind=ResourceKind.TOOL)
    )
    found = tools.list_granted(scope=scope, patterns=("*",)) if allowed else ()
    return [
        _of_tool(tool)
        for tool in sorted(found, key=lambda tool: tool.name)
        if tool.id in allowed and tool.state is ToolState.APPROVED
    ]


def page_of(offered: Sequence[t.Tool], cursor: str | None) -> t.ListToolsResult:
    """The tools that follow the name in `cursor`. Raises `MCPError` for one that is not ours."""
    after = _read_cursor(cursor) if cursor else ""
    rest = [tool for tool in offered if tool.name > after]
    page = rest[:_PAGE]
    more = base64.urlsafe_b64encode(page[-1].name.encode()).decode() if rest[_PAGE:] else None
    return t.ListToolsResult(tools=page, next_cursor=more)


def _read_cursor(cursor: str) -> str:
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise MCPError(
            t.INVALID_PARAMS, "The cursor is none of this server's: list from the beginning."
        ) from None


def _of_tool(tool: ToolView) -> t.Tool:
    return t.Tool(
        name=tool.name,
        title=tool.title or None,
        description=tool.description,
        input_schema=schemas.of_arguments(tool.input_schema),
        output_schema=schemas.of_answer(tool.output_schema),
        annotations=t.ToolAnnotations(
            read_only_hint=tool.risk is Risk.READ,
            destructive_hint=tool.risk is Risk.IRREVERSIBLE,
            idempotent_hint=tool.effect is Effect.PURE,
            open_world_hint=tool.egress,
        ),
    )


def _of_agent(agent: AgentView) -> t.Tool:
    """Says what the agent may reach, never what it was told: instructions are its owner's."""
    definition = agent.definition
    spaces = ", ".join(sorted(grant.space for grant in definition.spaces))
    reach: list[str] = [f"It reads the spaces {spaces}."] if spaces else []
    if definition.tools:
        reach.append(f"It may use the tools {', '.join(sorted(definition.tools))}.")
    described: dict[str, Any] = {
        "description": " ".join(
            [f"Ask the agent {agent.name!r}: it works on its own and answers in text.", *reach]
        ),
        "annotations": t.ToolAnnotations(
            read_only_hint=not definition.tools and not _writes(agent),
            open_world_hint=bool(definition.tools),
        ),
    }
    return t.Tool(
        name=AGENT_PREFIX + agent.name,
        title=f"Agent {agent.name}",
        input_schema=AGENT_INPUT,
        output_schema=AGENT_OUTPUT,
        **described,
    )


def _writes(agent: AgentView) -> bool:
    return any(grant.access is Access.WRITE for grant in agent.definition.spaces)
