"""The run of an agent: its loop's state is a fold of the journal over the pinned definition."""

from collections.abc import Mapping, Sequence
from typing import Any

from apps.agents.services import loop
from apps.agents.types import CallTools, Fail, Finish, LoopState, Remembered, Source
from apps.inference.types import ToolCall
from apps.orchestration import drafts
from apps.orchestration.programs import CallTool, End, Task
from apps.orchestration.records import Record
from apps.orchestration.types.runs import EventType


class AgentLoop:
    """A `Program`."""

    in_order = True

    def __init__(self, state: LoopState) -> None:
        self.state = state
        self.tools = loop.granted_tools(state.definition)
        self.offers = loop.offered_tools(state.definition)
        self.spaces = tuple(grant.space for grant in state.definition.spaces)
        self.route = state.definition.route

    @property
    def tainted(self) -> bool:
        return self.state.tainted

    def decide(self) -> tuple[Task, ...] | End:
        decision = loop.decide(self.state)
        if isinstance(decision, Finish | Fail):
            return decision
        if isinstance(decision, CallTools):
            return tuple(
                CallTool(step=f"{decision.step}.{place}", call=call)
                for place, call in decision.calls
            )
        return (decision,)

    def apply(self, record: Record, data: Mapping[str, Any]) -> None:
        match record.type:
            case EventType.RUN_STARTED:
                self.state = _started(self.state, data)
            case EventType.CHILD_FINISHED:
                self.state = loop.apply_hand_off(self.state, step=record.step, ended=data)
            case EventType.CONTEXT_RETRIEVED:
                sources = [Source(**source) for source in data["sources"]]
                memory = [Remembered(**block) for block in data.get("memory", ())]
                self.state = loop.apply_retrieval(self.state, sources=sources, memory=memory)
            case EventType.MODEL_ANSWERED:
                self.state = _model_answered(self.state, record, data)
            case EventType.TOOL_ANSWERED:
                self.state = _tool_answered(self.state, record, data)
            case EventType.MODEL_FAILED:
                self.state = loop.apply_failure(
                    self.state,
                    code=data["code"],
                    detail=data["detail"],
                    is_final=data["retry_in"] is None,
                    is_too_long=data.get("is_too_long", False),
                )


def _started(state: LoopState, data: Mapping[str, Any]) -> LoopState:
    earlier = [drafts.message_of(message) for message in data.get("conversation", ())]
    state = loop.take_over(state, earlier)
    return loop.taint(state) if data.get("tainted") else state


def _model_answered(state: LoopState, record: Record, data: Mapping[str, Any]) -> LoopState:
    message = data["message"]
    calls: Sequence[Mapping[str, Any]] = message.get("tool_calls", ())
    return loop.apply_model_answer(
        state,
        step=record.step,
        text=message["content"],
        tool_calls=[ToolCall(**call) for call in calls],
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
        cost_usd=record.cost_usd,
    )


def _tool_answered(state: LoopState, record: Record, data: Mapping[str, Any]) -> LoopState:
    return loop.apply_tool_answer(
        state,
        step=record.step,
        tool=data["tool"],
        arguments=data["arguments"],
        call_id=data["call_id"],
        text=data["message"]["content"],
        digest=data["digest"],
        trust=data["trust"],
        is_error=data["is_error"],
        evidence=data["evidence"],
    )
