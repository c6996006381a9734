"""One step of a run, opened: what went in, what came out, which policies answered, what it cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from apps.console import formatting
from apps.governance import selectors as governance
from apps.governance.types import RecordedDecision
from apps.observability.types import SpanKind
from apps.orchestration import selectors as runs
from apps.orchestration.types.runs import EventType, EventView
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import Scope

_KINDS = {
    EventType.CONTEXT_RETRIEVED: SpanKind.CONTEXT,
    EventType.MODEL_ANSWERED: SpanKind.MODEL,
    EventType.MODEL_FAILED: SpanKind.MODEL,
    EventType.TOOL_INTENDED: SpanKind.TOOL,
    EventType.TOOL_ANSWERED: SpanKind.TOOL,
    EventType.TOOL_FAILED: SpanKind.TOOL,
    EventType.TIMER_STARTED: SpanKind.TOOL,
    EventType.CHILD_STARTED: SpanKind.AGENT,
    EventType.HANDED_OFF: SpanKind.AGENT,
    EventType.APPROVAL_REQUESTED: SpanKind.HUMAN,
    EventType.EFFECT_UNKNOWN: SpanKind.HUMAN,
    EventType.INPUT_REQUESTED: SpanKind.HUMAN,
    EventType.RUN_PAUSED: SpanKind.HUMAN,
    EventType.NOTE: SpanKind.AGENT,
}
_CLOSED_BY = {
    EventType.TOOL_INTENDED: {EventType.TOOL_ANSWERED, EventType.TOOL_FAILED},
    EventType.APPROVAL_REQUESTED: {EventType.APPROVAL_DECIDED},
    EventType.EFFECT_UNKNOWN: {EventType.EFFECT_RESOLVED},
    EventType.INPUT_REQUESTED: {EventType.INPUT_RECEIVED},
    EventType.TIMER_STARTED: {EventType.TOOL_ANSWERED},
    EventType.CHILD_STARTED: {EventType.TOOL_ANSWERED},
    EventType.HANDED_OFF: {EventType.CHILD_FINISHED},
    EventType.RUN_PAUSED: {EventType.RUN_RESUMED},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """`event` opens the step, `result` closes it (the same one for most steps)."""

    anchor: str
    kind: SpanKind
    title: str
    event: EventView
    result: EventView
    facts: tuple[tuple[str, str], ...]
    decisions: tuple[RecordedDecision, ...]
    prompt: tuple[dict[str, Any], ...] = ()
    raw: tuple[dict[str, Any], ...] = field(default=())


def inspect(scope: Scope, run_id: UUID, events: Sequence[EventView], anchor: str) -> Inspected:
    """`anchor` is that of a row, or a step's name. Raises `NotFound` where the run has neither."""
    event = _find(events, anchor)
    anchor = anchor if _is_row(anchor, event) else f"s{event.seq}"
    result = _find_result(events, event)
    answered = event.type is EventType.MODEL_ANSWERED
    prompt = runs.get_prompt(scope=scope, run_id=run_id, seq=event.seq) if answered else []
    shown = [event] if event is result else [event, result]
    recorded = governance.list_decisions(run_id=run_id)
    return Inspected(
        anchor=anchor,
        kind=SpanKind.POLICY if anchor.endswith("p") else _KINDS[event.type],
        title=_title(event, anchor),
        event=event,
        result=result,
        facts=tuple(_facts(event, result)),
        decisions=tuple(d for d in recorded if d.step == event.step),
        prompt=tuple(prompt),
        raw=tuple({"seq": e.seq, "type": e.type, "step": e.step, "data": e.data} for e in shown),
    )


def _find(events: Sequence[EventView], anchor: str) -> EventView:
    steps = [event for event in events if event.type in _KINDS]
    rows = (event for event in steps if _is_row(anchor, event))
    named = (event for event in steps if event.step == anchor)
    if found := next(rows, None) or next(named, None):
        return found
    raise NotFound(f"This run has no step {anchor!r}. Open the run to see its steps.")


def _is_row(anchor: str, event: EventView) -> bool:
    return anchor in {f"s{event.seq}", f"s{event.seq}p"}


def _find_result(events: Sequence[EventView], event: EventView) -> EventView:
    wanted = _CLOSED_BY.get(event.type, set())
    later = (e for e in events if e.seq > event.seq and e.step == event.step and e.type in wanted)
    return next(later, event)


def _title(event: EventView, anchor: str) -> str:
    data = event.data
    match event.type:
        case EventType.CONTEXT_RETRIEVED:
            return "Quote" if data["quote"] else "Recall"
        case EventType.MODEL_ANSWERED:
            return str(data["model"])
        case EventType.MODEL_FAILED:
            return "Model call failed"
        case EventType.APPROVAL_REQUESTED:
            return str(data["policy"]) if anchor.endswith("p") else f"Approval of {data['tool']}"
        case EventType.INPUT_REQUESTED:
            return "Question to a person"
        case EventType.RUN_PAUSED:
            return "Paused"
        case EventType.NOTE:
            return "Note"
        case EventType.TIMER_STARTED:
            return "Wait"
        case EventType.HANDED_OFF:
            return f"Handed over to {data['agent']}"
        case EventType.CHILD_STARTED:
            return f"Run of {data.get('agent') or data['workflow']}"
        case _:
            return str(data["tool"])


def _facts(event: EventView, result: EventView) -> list[tuple[str, str]]:
    facts = [("Took", formatting.duration(result.at - event.started_at))]
    data = result.data
    if event.type is EventType.MODEL_ANSWERED:
        usage = data["usage"]
        facts += [
            ("Tokens", f"{usage['input_tokens']:,} → {usage['output_tokens']:,}"),
            ("Cost", f"${usage['cost_usd']}" if float(usage["cost_usd"]) else "$0"),
            ("Route", " → ".join(filter(None, (data["route"], data["provider"]))) or "outside"),
            ("Ended by", str(data["finish_reason"])),
        ]
    if result.type is EventType.TOOL_ANSWERED:
        facts.append(("Trust", str(data["trust"])))
    if event.attempt > 1:
        facts.append(("Attempt", str(event.attempt)))
    return [*facts, ("Step", event.step)]
