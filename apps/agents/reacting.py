"""Strategy `react`: the model says what it knows and what it lacks before each move, so that every
call has a reason that a person can read.
"""

from dataclasses import replace

from apps.agents import tooling
from apps.agents.types import CallModel, LoopDecision, LoopState
from apps.inference.types import Message

STEP = "thought"
_THINK = (
    "Think before you act: in at most five sentences, what do you know, what is missing, and what "
    "will you do next? Call no tool and give no final answer yet."
)
_ACT = "Now do it: call a tool, or give the final answer if nothing is missing."


def decide(state: LoopState) -> LoopDecision:
    decision = tooling.decide(state)
    if not isinstance(decision, CallModel) or state.answer is not None or _has_thought(state):
        return decision
    thinking = Message(role="user", content=_THINK)
    return replace(
        decision,
        step=decision.step.replace("model", STEP),
        messages=(*decision.messages, thinking),
        offer_tools=False,
        json_schema=None,
    )


def _has_thought(state: LoopState) -> bool:
    return bool(state.messages) and state.messages[-1].content == _ACT


def take_thought(state: LoopState, thought: str) -> LoopState:
    """What the model thought stays in the conversation, as what it acts on."""
    said = Message(role="assistant", content=thought)
    return replace(
        state, messages=(*state.messages, said, Message(role="user", content=_ACT)), answer=None
    )
