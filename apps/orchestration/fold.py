"""The run's state is a fold of its journal, here and nowhere else: live and after a crash alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from apps.agents.services import loop
from apps.agents.types import LoopState, Source
from apps.inference.types import ToolCall
from apps.orchestration.records import Record
from apps.orchestration.types import EventType


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is known of a step that has no result yet.

    `attempt` is the number of the last one, `failures` how many gave no answer. `approval` is the
    public id of the one asked for, and `verdict` the data of its decision. `intended`: an unsafe
    call was about to happen. `resolution` is a person's word on a call that may have happened.
    `asked`: a person was asked for input, which is `given` once it is there. `waits_until`: when a
    wait is over. `child` is the public id of the run that does the step, `ended` how that came out.
    """

    attempt: int = 0
    failures: int = 0
    approval: str | None = None
    verdict: Mapping[str, Any] | None = None
    intended: bool = False
    doubted: bool = False
    resolution: Mapping[str, Any] | None = None
    asked: bool = False
    given: Mapping[str, Any] | None = None
    waits_until: datetime | None = None
    child: str | None = None
    ended: Mapping[str, Any] | None = None


@dataclass(slots=True, kw_only=True)
class Folded:
    """`prompt`: the blob names of the last prompt. `retry_at`: when the next attempt is due.

    `answered` is the data of the last tool answer. `paused`: a person holds the run.
    """

    loop: LoopState
    answered: Mapping[str, Any] | None = None
    steps: dict[str, Progress] = field(default_factory=dict)
    prompt: list[str] = field(default_factory=list)
    retry_at: datetime | None = None
    paused: bool = False

    def progress(self, step: str) -> Progress:
        return self.steps.get(step, Progress())


def apply(state: Folded, record: Record, data: Mapping[str, Any]) -> None:
    """Take one event in; `data` is its data with the blobs filled in."""
    match record.type:
        case EventType.RUN_STARTED:
            state.loop = loop.taint(state.loop) if data.get("tainted") else state.loop
        case EventType.CONTEXT_RETRIEVED:
            sources = [Source(**source) for source in data["sources"]]
            state.loop = loop.apply_retrieval(state.loop, sources=sources)
            _close(state, record.step)
        case EventType.MODEL_ANSWERED:
            state.loop = _model_answered(state.loop, record, data)
            prompt = data["prompt"]
            state.prompt = [*state.prompt[: prompt["keep"]], *prompt["add"]]
            _close(state, record.step)
        case EventType.TOOL_ANSWERED:
            state.loop = _tool_answered(state.loop, data)
            state.answered = data
            _close(state, record.step)
        case EventType.MODEL_FAILED:
            _model_failed(state, record, data)
        case EventType.RUN_PAUSED | EventType.RUN_RESUMED:
            state.paused = record.type is EventType.RUN_PAUSED
        case _:
            _progress(state, record, data)


def _close(state: Folded, step: str) -> None:
    state.steps.pop(step, None)
    state.retry_at = None


def _model_answered(state: LoopState, record: Record, data: Mapping[str, Any]) -> LoopState:
    message = data["message"]
    calls: Sequence[Mapping[str, Any]] = message.get("tool_calls", ())
    return loop.apply_model_answer(
        state,
        text=message["content"],
        tool_calls=[ToolCall(**call) for call in calls],
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
        cost_usd=record.cost_usd,
    )


def _tool_answered(state: LoopState, data: Mapping[str, Any]) -> LoopState:
    return loop.apply_tool_answer(
        state,
        call_id=data["call_id"],
        text=data["message"]["content"],
        digest=data["digest"],
        trust=data["trust"],
        evidence=data["evidence"],
    )


def _model_failed(state: Folded, record: Record, data: Mapping[str, Any]) -> None:
    delay = data["retry_in"]
    state.loop = loop.apply_failure(
        state.loop, code=data["code"], detail=data["detail"], is_final=delay is None
    )
    state.retry_at = None if delay is None else record.at + timedelta(seconds=delay)
    progress = state.progress(record.step)
    state.steps[record.step] = replace(progress, attempt=record.attempt)


def _progress(state: Folded, record: Record, data: Mapping[str, Any]) -> None:
    before = state.progress(record.step)
    match record.type:
        case EventType.TOOL_FAILED:
            state.retry_at = record.at + timedelta(seconds=data["retry_in"])
            after = replace(
                before, attempt=record.attempt, failures=before.failures + 1, intended=False
            )
        case EventType.APPROVAL_REQUESTED:
            after = replace(before, approval=data["approval"], verdict=None, attempt=record.attempt)
        case EventType.APPROVAL_DECIDED:
            after = replace(before, verdict=data)
        case EventType.TOOL_INTENDED:
            after = replace(
                before, intended=True, doubted=False, resolution=None, attempt=record.attempt
            )
        case EventType.EFFECT_UNKNOWN:
            after = replace(before, doubted=True)
        case EventType.INPUT_REQUESTED:
            after = replace(before, asked=True)
        case EventType.INPUT_RECEIVED:
            after = replace(before, given=data)
        case EventType.CHILD_STARTED:
            after = replace(before, child=data["run"])
        case EventType.CHILD_FINISHED:
            after = replace(before, ended=data)
        case EventType.TIMER_STARTED:
            after = replace(before, waits_until=datetime.fromisoformat(data["until"]))
        case EventType.EFFECT_RESOLVED:
            after = replace(before, resolution=data)
        case _:
            return
    state.steps[record.step] = after
