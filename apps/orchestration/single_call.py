"""A run that is one tool call: the same fold and the same steps as an agent's, with nobody to ask
what comes next.
"""

from collections.abc import Mapping
from typing import Any

from apps.agents.types import CallTools, Definition, Fail, Finish, LoopDecision, LoopState, Strategy
from apps.inference.types import Message, ToolCall
from apps.orchestration.records import dump

STEP = "call"
CALL_STEP = f"{STEP}.0"
_LONGEST_ERROR = 2000


def start(tool: str, arguments: Mapping[str, Any]) -> LoopState:
    """As if a model had asked for exactly this call."""
    call = ToolCall(id=STEP, name=tool, arguments=dump(arguments).decode())
    return LoopState(
        definition=Definition(instructions="", tools=(tool,), strategy=Strategy.TOOLS),
        strategy=Strategy.TOOLS,
        input="",
        messages=(Message(role="assistant", tool_calls=(call,)),),
        pending=(call,),
    )


def decide(state: LoopState, answered: Mapping[str, Any] | None) -> LoopDecision:
    """Make the call; then the tool's answer is the run's, and its error the run's failure.

    `answered` is the data of the journaled answer.
    """
    if answered is None:
        return CallTools(step=STEP, calls=state.pending)
    text = answered["message"]["content"]
    if not answered["is_error"]:
        evidence = tuple(answered["evidence"])
        return Finish(text=text, citations=evidence, data=answered.get("structured"))
    decided = answered.get("decision") or {}
    code = "forbidden" if decided.get("outcome") == "deny" else "tool_error"
    return Fail(code=code, detail=text[:_LONGEST_ERROR])
