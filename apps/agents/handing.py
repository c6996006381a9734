"""Handing a run over: another agent goes on with the conversation, and its answer is the run's.

Unlike a task for another agent (`as_tools`), nothing comes back to the one that hands over.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from apps.agents import trimming
from apps.agents.types import Fail, Finish, LoopState
from apps.inference.types import Message, ToolCall

PREFIX = "handoff__"
_MOST_CHARACTERS = 24_000


def due(pending: tuple[tuple[int, ToolCall], ...]) -> tuple[tuple[int, ToolCall], ...]:
    """The calls to be made now: a hand-over comes last and alone, so that it tells of the rest."""
    others = tuple(one for one in pending if not one[1].name.startswith(PREFIX))
    return others or pending[:1]


def brief(state: LoopState, *, agent: str, reason: str, note: str) -> str:
    """What the next agent is given: the task, why it gets it, and the conversation so far, which is
    cut at its beginning when it is long.
    """
    told = f"\n{note}" if note else ""
    said = "\n".join(_lines(trimming.trim(state.messages, level=1)))
    if len(said) > _MOST_CHARACTERS:
        said = f"[the beginning is left out] …{said[-_MOST_CHARACTERS:]}"
    so_far = f"\n\nWhat was said and done so far:\n\n{said}" if said else ""
    return f"{state.input}\n\n---\nThe agent {agent} hands this over to you: {reason}{told}{so_far}"


def _lines(messages: tuple[Message, ...]) -> list[str]:
    lines = []
    for message in messages:
        if message.content:
            name = "tool" if message.role == "tool" else message.role
            lines.append(f"[{name}] {message.content}")
        lines += [
            f"[call] {call.name} {call.arguments}"
            for call in message.tool_calls
            if not call.name.startswith(PREFIX)
        ]
    return lines


def take_result(
    state: LoopState, *, tool: str, text: str, structured: Mapping[str, Any] | None, is_error: bool
) -> LoopState:
    """The other agent's run has ended, and this one ends as it did. A hand-over that was refused
    has no run, and the model reads why.
    """
    if not tool.startswith(PREFIX) or structured is None:
        return state
    if is_error:
        name = tool.removeprefix(PREFIX)
        detail = f"The run was handed over to the agent {name!r}. {text}"
        return replace(state, failed=Fail(code="handed_over", detail=detail))
    handed = Finish(
        text=structured["text"],
        citations=tuple(structured["citations"]),
        data=structured.get("data"),
    )
    return replace(state, handed=handed)
