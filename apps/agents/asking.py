"""A run that cannot go on by itself: it fails, or it asks a person, whatever its strategy."""

from collections import Counter

import orjson

from apps.agents.types import CallTools, Fail, LoopState
from apps.inference.types import ToolCall

TOOL = "ask_person"
STEP = "person"
GO_ON, STOP = "Go on", "Stop"
FEEDBACK_AFTER = 3
STUCK_AFTER = 5


def repetitions(state: LoopState) -> int:
    """How often one call had the same result lately, alone or in turn with others (A B A B)."""
    return max(Counter(state.recent_calls).values(), default=0)


def repeats_itself(state: LoopState) -> Fail | None:
    if repetitions(state) < STUCK_AFTER:
        return None
    return Fail(
        code="loop",
        detail=f"The agent made the same tool call with the same result {STUCK_AFTER} times. "
        "Make its instructions or the tool's description clearer, then start a new run.",
    )


def ask(state: LoopState, stuck: Fail) -> CallTools:
    arguments = {
        "question": f"{stuck.detail} Shall the run go on? You may also answer with advice.",
        "choices": [GO_ON, STOP],
    }
    call = ToolCall(id=STEP, name=TOOL, arguments=orjson.dumps(arguments).decode())
    return CallTools(step=f"{STEP}.{state.asked + 1}", calls=((0, call),))
