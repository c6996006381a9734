"""The agent loop as pure decisions: the same journal over the same definition decides the same.

Nothing here reads a clock, a database or a network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from apps.agents import quoting, tooling
from apps.agents.types import Definition, Fail, Finish, LoopDecision, LoopState, Source, Strategy
from apps.inference.types import Message, ToolCall
from apps.model_registry.types import Tier

LOOP_WINDOW = 12


class Failure(StrEnum):
    """Why an attempt failed: no answer, an error for an answer, or trying again is useless."""

    UNREACHABLE = "unreachable"
    UPSTREAM = "upstream"
    REFUSED = "refused"


_DELAYS: Mapping[Failure, tuple[float, ...]] = {
    Failure.UNREACHABLE: (1, 2, 4, 8, 15, *[30] * 19),  # ten minutes: a model server restarts
    Failure.UPSTREAM: (1, 2),
    Failure.REFUSED: (),
}
_TRUSTED = "trusted"

ResolvedStrategy = Literal[Strategy.TOOLS, Strategy.QUOTE]


def resolve_strategy(definition: Definition, *, tier: Tier) -> ResolvedStrategy:
    """What `auto` means for a run that starts now: quote on a starter model that has sources."""
    if definition.strategy is Strategy.QUOTE:
        return Strategy.QUOTE
    if definition.strategy is Strategy.AUTO and tier is Tier.STARTER and definition.spaces:
        return Strategy.QUOTE
    return Strategy.TOOLS


def start(definition: Definition, *, strategy: ResolvedStrategy, input: str) -> LoopState:
    """The state of a run that has done nothing yet."""
    return LoopState(definition=definition, strategy=strategy, input=input)


def decide(state: LoopState) -> LoopDecision:
    """The next move. Limits come first; then the strategy's own rule."""
    if state.failed is not None:
        return state.failed
    decision = quoting.decide(state) if state.strategy is Strategy.QUOTE else tooling.decide(state)
    over = _limit_reached(state)
    return over if over and not isinstance(decision, Finish | Fail) else decision


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


def apply_retrieval(state: LoopState, *, sources: Sequence[Source]) -> LoopState:
    """Sources were found; any of them that is not trusted taints the run."""
    found = (state.sources or ()) + tuple(sources)
    return replace(
        state,
        sources=found,
        steps=state.steps + 1,
        tainted=state.tainted or any(source.trust != _TRUSTED for source in sources),
    )


def apply_model_answer(
    state: LoopState,
    *,
    text: str,
    tool_calls: Sequence[ToolCall],
    input_tokens: int = 0,
    output_tokens: int = 0,
    cost_usd: Decimal = Decimal(0),
) -> LoopState:
    """The model spoke: either it called tools, or its text is the answer."""
    calls = tuple(tool_calls)
    answer = Message(role="assistant", content=text, tool_calls=calls)
    return replace(
        state,
        messages=(*state.messages, answer),
        pending=tuple(enumerate(calls)),
        answer=None if calls else text,
        steps=state.steps + 1,
        input_tokens=state.input_tokens + input_tokens,
        output_tokens=state.output_tokens + output_tokens,
        cost_usd=state.cost_usd + cost_usd,
    )


def apply_failure(state: LoopState, *, code: str, detail: str) -> LoopState:
    """The last attempt at a step failed."""
    return replace(state, failed=Fail(code=code, detail=detail))


def retry_after(failure: Failure, *, failures: int) -> timedelta | None:
    """How long to wait before the next attempt, after `failures` failed ones; None: give up."""
    delays = _DELAYS[failure]
    return timedelta(seconds=delays[failures - 1]) if failures <= len(delays) else None


def apply_tool_answer(
    state: LoopState,
    *,
    place: int,
    call_id: str,
    text: str,
    digest: str,
    trust: str,
    evidence: Sequence[Mapping[str, Any]] = (),
) -> LoopState:
    """The pending call at `place` has its result; what that rests on can be cited from now on."""
    message = Message(role="tool", content=text, tool_call_id=call_id)
    cited = tuple(
        Source(text="", score=0.0, citation=citation, trust=trust) for citation in evidence
    )
    return replace(
        state,
        messages=(*state.messages, message),
        pending=tuple(one for one in state.pending if one[0] != place),
        sources=(state.sources or ()) + cited if cited else state.sources,
        steps=state.steps + 1,
        tainted=state.tainted or trust != _TRUSTED,
        recent_calls=(*state.recent_calls, digest)[-LOOP_WINDOW:],
    )
