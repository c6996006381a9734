"""Strategy `plan`: first the steps, then one after the other. The plan is locked: only the tool
`revise_plan` changes what is left of it, and says why.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from apps.agents import tooling
from apps.agents.types import CallModel, Fail, LoopDecision, LoopState, Plan
from apps.inference.types import Message
from apps.tools.services import schemas
from apps.tools.types import BuiltinTool, Effect, Risk, ToolContext, ToolResult, Trust

STEP = "plan"
TOOL = "revise_plan"
_MOST_STEPS = 20
_MOST_REVISIONS = 3
_ATTEMPTS = 3
_STEPS: Mapping[str, Any] = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": 500},
    "minItems": 1,
    "maxItems": _MOST_STEPS,
}
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"steps": _STEPS},
    "required": ["steps"],
    "additionalProperties": False,
}
_MAKE = (
    "Before anything is done, write a plan: the fewest steps that lead to the answer, each one "
    'thing to find out or to do. Answer with JSON: {"steps": ["…", "…"]}.'
)


def decide(state: LoopState) -> LoopDecision:
    decision = tooling.decide(state)
    if not isinstance(decision, CallModel):
        return decision
    if state.plan is None:
        return _make(state, decision)
    if state.plan.revisions > _MOST_REVISIONS:
        return Fail(
            code="plan",
            detail=f"The agent changed its plan more than {_MOST_REVISIONS} times. Ask for less at "
            "once, or make its instructions clearer.",
        )
    is_last = state.plan.done >= len(state.plan.steps)
    return decision if is_last else replace(decision, json_schema=None)


def _make(state: LoopState, decision: CallModel) -> LoopDecision:
    attempts = sum(message.role == "assistant" for message in state.messages)
    if attempts >= _ATTEMPTS:
        return Fail(
            code="plan",
            detail=f"The model wrote no plan that can be read in {_ATTEMPTS} attempts. Use a "
            "better model, or the strategy `tools`.",
        )
    return replace(
        decision,
        step=f"{STEP}.{attempts + 1}",
        messages=(*decision.messages, Message(role="user", content=_MAKE)),
        offer_tools=False,
        json_schema=SCHEMA,
    )


def take_plan(state: LoopState, text: str) -> LoopState:
    """The model's plan, if it can be read; else what is wrong with it, for the next attempt."""
    said = Message(role="assistant", content=text)
    try:
        given: Any = orjson.loads(text)
        wrong = schemas.check_instance(schema=SCHEMA, instance=given)
    except ValueError as error:
        given, wrong = None, (f"- the plan is not JSON: {error}",)
    if wrong:
        lines = "\n".join(wrong)
        told = Message(role="user", content=f"That is no plan that can be read:\n{lines}")
        return replace(state, messages=(*state.messages, said, told), answer=None)
    plan = Plan(steps=tuple(given["steps"]))
    return replace(state, messages=(*state.messages, said, _next(plan)), plan=plan, answer=None)


def take_result(state: LoopState) -> LoopState:
    """The model spoke without a call: the present step is done, or the run has its answer."""
    plan = state.plan
    if plan is None or state.answer is None or plan.done >= len(plan.steps):
        return state
    after = replace(plan, done=plan.done + 1)
    return replace(state, plan=after, messages=(*state.messages, _next(after)), answer=None)


def take_revision(state: LoopState, arguments: Mapping[str, Any]) -> LoopState:
    """What was not done yet is replaced."""
    plan = state.plan
    if plan is None:
        return state
    steps = (*plan.steps[: plan.done], *arguments["steps"])
    return replace(state, plan=replace(plan, steps=steps, revisions=plan.revisions + 1))


def _next(plan: Plan) -> Message:
    if plan.done >= len(plan.steps):
        text = "Every step is done. Now give the final answer to the task, from their results."
        return Message(role="user", content=text)
    number = plan.done + 1
    return Message(
        role="user",
        content=f"Step {number} of {len(plan.steps)}: {plan.steps[plan.done]}\nDo this step only; "
        "when it is done, say its result in a few sentences. If what you learn makes the rest of "
        f"the plan wrong, call {TOOL}.",
    )


def _revise(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    steps = "\n".join(f"- {step}" for step in arguments["steps"])
    return ToolResult(text=f"What is left of the plan is now:\n{steps}", trust=Trust.TRUSTED)


REVISE = BuiltinTool(
    name=TOOL,
    description=(
        "Replace what is left of your plan by other steps, because what you learned makes it "
        "wrong. Steps that are done stay done."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "why": {"type": "string", "minLength": 1, "maxLength": 2000},
            "steps": _STEPS,
        },
        "required": ["why", "steps"],
        "additionalProperties": False,
    },
    risk=Risk.READ,
    egress=False,
    effect=Effect.PURE,
    handler=_revise,
)
