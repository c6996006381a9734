"""The agent loop as pure decisions: the same journal over the same definition decides the same.

Nothing here reads a clock, a database or a network.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from apps.agents import asking, handing, planning, quoting, reacting, tooling, trimming
from apps.agents.types import (
    CallModel,
    Definition,
    Fail,
    Finish,
    LoopDecision,
    LoopState,
    Remembered,
    ResolvedStrategy,
    Source,
    Strategy,
    WhenStuck,
)
from apps.inference.types import Message, ToolCall
from apps.model_registry.types import Tier

LOOP_WINDOW = 16


class Failure(StrEnum):
    """Why an attempt failed: no answer, an error for an answer, more text than the model takes, or
    trying again is useless.
    """

    UNREACHABLE = "unreachable"
    UPSTREAM = "upstream"
    TOO_LONG = "too_long"
    REFUSED = "refused"


_DELAYS: Mapping[Failure, tuple[float, ...]] = {
    Failure.UNREACHABLE: (1, 2, 4, 8, 15, *[30] * 19),  # ten minutes: a model server restarts
    Failure.UPSTREAM: (1, 2),
    Failure.TOO_LONG: (0,) * trimming.MOST_TRIMS,
    Failure.REFUSED: (),
}
_TRUSTED = "trusted"

_STRATEGIES: Mapping[ResolvedStrategy, Callable[[LoopState], LoopDecision]] = {
    Strategy.TOOLS: tooling.decide,
    Strategy.REACT: reacting.decide,
    Strategy.PLAN: planning.decide,
    Strategy.QUOTE: quoting.decide,
}


def resolve_strategy(definition: Definition, *, tier: Tier) -> ResolvedStrategy:
    """What `auto` means for a run that starts now: quote on a starter model that has sources."""
    if definition.strategy is not Strategy.AUTO:
        return definition.strategy
    return Strategy.QUOTE if tier is Tier.STARTER and definition.spaces else Strategy.TOOLS


def offered_tools(definition: Definition) -> tuple[str, ...]:
    """Patterns of the tools that the model is shown."""
    plans = definition.strategy is Strategy.PLAN
    return (*definition.tools, planning.TOOL) if plans else definition.tools


def granted_tools(definition: Definition) -> tuple[str, ...]:
    """Patterns of the tools that a run may call, some of them without its model's doing."""
    asks = definition.when_stuck is WhenStuck.ASK
    offered = offered_tools(definition)
    return (*offered, asking.TOOL) if asks else offered


def start(definition: Definition, *, strategy: ResolvedStrategy, input: str) -> LoopState:
    """The state of a run that has done nothing yet."""
    return LoopState(definition=definition, strategy=strategy, input=input)


def decide(state: LoopState) -> LoopDecision:
    """The next move. Limits come first; then the strategy's own rule."""
    ended = state.failed or state.finished
    if ended is not None:
        return ended
    decision = _STRATEGIES[state.strategy](state)
    if isinstance(decision, Finish | Fail):
        return decision
    return _limit_reached(state) or _stuck(state, decision) or decision


def _stuck(state: LoopState, decision: LoopDecision) -> LoopDecision | None:
    """What is done instead where the run cannot go on by itself."""
    repeats = asking.repeats_itself(state) if isinstance(decision, CallModel) else None
    stuck = state.stuck or repeats
    if stuck is None:
        return None
    return asking.ask(state, stuck) if state.definition.when_stuck is WhenStuck.ASK else stuck


def _person_answered(state: LoopState, text: str) -> LoopState:
    """Go on with a fresh count, with what the person advised, or end."""
    state = replace(state, asked=state.asked + 1)
    if text.strip().casefold() == asking.STOP.casefold():
        failed = state.stuck or asking.repeats_itself(state)
        return replace(state, failed=failed)
    state = replace(state, stuck=None, recent_calls=(), trims=0)
    if text.strip().casefold() == asking.GO_ON.casefold():
        return state
    advice = Message(role="user", content=f"A person who watches this run says: {text}")
    return replace(state, messages=(*state.messages, advice))


def _limit_reached(state: LoopState) -> Fail | None:
    limits = state.definition.limits
    tokens = state.input_tokens + state.output_tokens
    if state.steps >= limits.max_steps:
        return _limit("max_steps", f"{limits.max_steps} steps")
    if limits.max_tokens is not None and tokens >= limits.max_tokens:
        return _limit("max_tokens", f"{limits.max_tokens} tokens (used {tokens})")
    if limits.max_cost_usd is not None and state.cost_usd >= limits.max_cost_usd:
        return _limit("max_cost_usd", f"{limits.max_cost_usd} USD (spent {state.cost_usd})")
    return None


def _limit(code: str, bound: str) -> Fail:
    return Fail(
        code=code,
        detail=f"The run reached its limit of {bound} before it had an answer. Raise limits."
        f"{code} in the agent's definition, or ask for less.",
    )


def taint(state: LoopState) -> LoopState:
    """What the run was given to work on came from outside."""
    return replace(state, tainted=True)


def take_over(state: LoopState, conversation: Sequence[Message]) -> LoopState:
    """Another agent handed this conversation over."""
    return replace(state, earlier=tuple(conversation))


def hand_over(state: LoopState, *, by: str, to: str, why: str, note: str) -> tuple[Message, ...]:
    """The conversation as the agent `to` takes it over, trimmed as far as it had to be here."""
    said = handing.conversation(state, by=by, to=to, why=why, note=note)
    return trimming.trim(said, level=state.trims)


def apply_hand_off(state: LoopState, *, step: str, ended: Mapping[str, Any]) -> LoopState:
    """The run that took over at `step` has ended: `ended` is the data of `child_finished`."""
    return handing.take_end(state, step=step, ended=ended)


def apply_retrieval(
    state: LoopState, *, sources: Sequence[Source], memory: Sequence[Remembered] = ()
) -> LoopState:
    """Sources and memory were read; any of them that is not trusted taints the run."""
    found = (state.sources or ()) + tuple(sources)
    return replace(
        state,
        sources=found,
        memory=state.memory + tuple(memory),
        steps=state.steps + 1,
        tainted=state.tainted
        or any(source.trust != _TRUSTED for source in sources)
        or any(block.trust != _TRUSTED for block in memory),
    )


def apply_model_answer(
    state: LoopState,
    *,
    step: str,
    text: str,
    tool_calls: Sequence[ToolCall],
    input_tokens: int = 0,
    output_tokens: int = 0,
    cost_usd: Decimal = Decimal(0),
) -> LoopState:
    """The model spoke: it thought or planned, it called tools, or its text is an answer."""
    state = replace(
        state,
        steps=state.steps + 1,
        input_tokens=state.input_tokens + input_tokens,
        output_tokens=state.output_tokens + output_tokens,
        cost_usd=state.cost_usd + cost_usd,
    )
    match step.partition(".")[0]:
        case reacting.STEP:
            return reacting.take_thought(state, text)
        case planning.STEP:
            return planning.take_plan(state, text)
    calls = tuple(tool_calls)
    answer = Message(role="assistant", content=text, tool_calls=calls)
    state = replace(
        state,
        messages=(*state.messages, answer),
        pending=tuple(enumerate(calls)),
        answer=None if calls else text,
    )
    state = planning.take_result(state)
    return replace(state, answers=state.answers + (state.answer is not None))


def apply_failure(
    state: LoopState, *, code: str, detail: str, is_final: bool, is_too_long: bool
) -> LoopState:
    """An attempt failed: the next one sends less, or there is none by itself."""
    if not is_final:
        return replace(state, trims=state.trims + is_too_long)
    return replace(state, stuck=Fail(code=code, detail=detail))


def retry_after(failure: Failure, *, failures: int) -> timedelta | None:
    """How long to wait before the next attempt, after `failures` failed ones; None: give up."""
    delays = _DELAYS[failure]
    return timedelta(seconds=delays[failures - 1]) if failures <= len(delays) else None


def apply_tool_answer(
    state: LoopState,
    *,
    step: str,
    tool: str,
    arguments: Mapping[str, Any] | str,
    call_id: str,
    text: str,
    digest: str,
    trust: str,
    is_error: bool = False,
    evidence: Sequence[Mapping[str, Any]] = (),
) -> LoopState:
    """The call at the place that `step` ends with has its result; what that rests on can be cited
    from now on.
    """
    name, _, place = step.rpartition(".")
    if name.partition(".")[0] == asking.STEP:
        return _person_answered(state, text)
    if tool == planning.TOOL and isinstance(arguments, Mapping) and not is_error:
        state = planning.take_revision(state, arguments)
    if handing.is_handoff(tool):
        state = handing.take_refusal(state, text)
    message = Message(role="tool", content=text, tool_call_id=call_id)
    cited = tuple(
        Source(text="", score=0.0, citation=citation, trust=trust) for citation in evidence
    )
    return replace(
        state,
        messages=(*state.messages, message),
        pending=tuple(one for one in state.pending if one[0] != int(place)),
        sources=(state.sources or ()) + cited if cited else state.sources,
        steps=state.steps + 1,
        tainted=state.tainted or trust != _TRUSTED,
        recent_calls=(*state.recent_calls, digest)[-LOOP_WINDOW:],
    )
