"""The run's state is a fold of its journal, here and nowhere else: live and after a crash alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from apps.orchestration.programs import Program
from apps.orchestration.records import Record
from apps.orchestration.types.runs import EventType

AWAIT_SIGNAL = "await_signal"
STEP_RESULTS = frozenset(
    {EventType.CONTEXT_RETRIEVED, EventType.MODEL_ANSWERED, EventType.TOOL_ANSWERED}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is known of a step that has no result yet.

    `attempt` is the number of the last one, `failures` how many gave no answer, `retry_at` when the
    next is due. `approval` is the public id of the one asked for, and `verdict` the data of its
    decision. `intended`: an unsafe call was about to happen. `resolution` is a person's word on a
    call that may have happened. `asked`: a person was asked for input, which is `given` once it is
    there. `waits_until`: when a wait is over, which `permission` allowed. `child` is the public id
    of the run that does the step, `ended` how that came out; `handed_off`: that run's end is this
    run's.
    """

    attempt: int = 0
    failures: int = 0
    retry_at: datetime | None = None
    approval: str | None = None
    verdict: Mapping[str, Any] | None = None
    intended: bool = False
    doubted: bool = False
    resolution: Mapping[str, Any] | None = None
    asked: bool = False
    given: Mapping[str, Any] | None = None
    waits_until: datetime | None = None
    permission: Mapping[str, Any] | None = None
    child: str | None = None
    ended: Mapping[str, Any] | None = None
    handed_off: bool = False


@dataclass(slots=True, kw_only=True)
class Folded:
    """`prompt`: the blob names of the last prompt. `paused`: a person holds the run. `signals`: the
    data of those that no call has taken yet, oldest first.
    """

    program: Program
    steps: dict[str, Progress] = field(default_factory=dict)
    prompt: list[str] = field(default_factory=list)
    paused: bool = False
    signals: list[Mapping[str, Any]] = field(default_factory=list)

    def find_signal(self, name: str) -> Mapping[str, Any] | None:
        """The oldest of this name."""
        return next((signal for signal in self.signals if signal["name"] == name), None)

    def progress(self, step: str) -> Progress:
        return self.steps.get(step, Progress())


def is_result(record: Record) -> bool:
    """Whether a program takes it in."""
    return record.type in STEP_RESULTS or record.type is EventType.MODEL_FAILED


def apply(state: Folded, record: Record, data: Mapping[str, Any]) -> None:
    """Take one event in; `data` is its data with the blobs filled in."""
    if record.type in STEP_RESULTS:
        state.steps.pop(record.step, None)
        state.program.apply(record, data)
        if record.type is EventType.MODEL_ANSWERED:
            prompt = data["prompt"]
            state.prompt = [*state.prompt[: prompt["keep"]], *prompt["add"]]
        if data.get("tool") == AWAIT_SIGNAL:
            taken = (data.get("structured") or {}).get("signal")
            state.signals = [signal for signal in state.signals if signal["signal"] != taken]
    elif record.type is EventType.CHILD_FINISHED and state.progress(record.step).handed_off:
        state.steps.pop(record.step)
        state.program.apply(record, data)
    elif record.type is EventType.SIGNAL_RECEIVED:
        state.signals.append({"signal": record.seq, **data})
    elif record.type is EventType.RUN_STARTED:
        state.program.apply(record, data)
    elif record.type in {EventType.RUN_PAUSED, EventType.RUN_RESUMED}:
        state.paused = record.type is EventType.RUN_PAUSED
    elif record.type is EventType.MODEL_FAILED:
        state.program.apply(record, data)
        if data["retry_in"] is None:
            state.steps.pop(record.step, None)
        else:
            _progress(state, record, data)
    else:
        _progress(state, record, data)


def _progress(state: Folded, record: Record, data: Mapping[str, Any]) -> None:
    before = state.progress(record.step)
    match record.type:
        case EventType.MODEL_FAILED | EventType.TOOL_FAILED:
            after = replace(
                before,
                attempt=record.attempt,
                failures=before.failures + 1,
                retry_at=record.at + timedelta(seconds=data["retry_in"]),
                intended=False,
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
        case EventType.HANDED_OFF:
            after = replace(before, child=data["run"], handed_off=True)
        case EventType.CHILD_FINISHED:
            after = replace(before, ended=data)
        case EventType.TIMER_STARTED:
            until = datetime.fromisoformat(data["until"])
            after = replace(before, waits_until=until, permission=data.get("decision"))
        case EventType.EFFECT_RESOLVED:
            after = replace(before, resolution=data)
        case _:
            return
    state.steps[record.step] = after
