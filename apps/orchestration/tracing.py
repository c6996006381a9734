"""A run's spans are a projection of its journal: nothing is stored, so nothing can be lost.

Names and attributes follow the OpenTelemetry GenAI conventions.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.governance.types import RecordedDecision
from apps.observability.types import Span, SpanKind, SpanStatus
from apps.orchestration.types.runs import EventType, EventView, RunStatus, RunView

_KINDS = {
    EventType.CONTEXT_RETRIEVED: SpanKind.CONTEXT,
    EventType.MODEL_ANSWERED: SpanKind.MODEL,
    EventType.MODEL_FAILED: SpanKind.MODEL,
    EventType.TOOL_ANSWERED: SpanKind.TOOL,
    EventType.TOOL_FAILED: SpanKind.TOOL,
    EventType.APPROVAL_DECIDED: SpanKind.HUMAN,
}
_FAILURES = frozenset({EventType.MODEL_FAILED, EventType.TOOL_FAILED})


def span_id(run_id: UUID, step: str, attempt: int) -> str:
    """16 hex digits, the same whenever the journal is read."""
    return hashlib.sha256(f"{run_id}:{step}:{attempt}".encode()).hexdigest()[:16]


def project(
    run: RunView, events: Sequence[EventView], recorded: Sequence[RecordedDecision]
) -> tuple[Span, ...]:
    """The root span, then one span for each attempt, retrieval, tool call and human wait."""
    asked: dict[str, EventView] = {}
    seen: dict[str, datetime] = {}
    spans = [_root(run)]
    for event in events:
        if event.type is EventType.APPROVAL_REQUESTED:
            asked[event.step] = event
        if event.type is EventType.APPROVAL_DECIDED:
            spans.append(_human(run, asked.pop(event.step, event), event))
        elif event.type in _KINDS:
            after = seen.get(event.step, run.created_at)
            own = [d for d in recorded if d.step == event.step and after < d.at <= event.at]
            spans.append(_step(run, event, own))
            seen[event.step] = event.at
    spans.extend(_human(run, event, None) for event in asked.values())
    return tuple(spans)


def _root(run: RunView) -> Span:
    status = SpanStatus.UNSET
    if run.status.is_final:
        status = SpanStatus.OK if run.status is RunStatus.SUCCEEDED else SpanStatus.ERROR
    return Span(
        trace_id=run.trace_id,
        span_id=span_id(run.id, "", 1),
        parent_id=None,
        name=f"{_operation(run)} {run.subject}",
        kind=SpanKind.TOOL if run.tool else SpanKind.AGENT,
        status=status,
        started_at=run.created_at,
        ended_at=run.finished_at,
        attributes={
            **_subject(run),
            "gen_ai.usage.input_tokens": run.input_tokens,
            "gen_ai.usage.output_tokens": run.output_tokens,
            "octavo.cost_usd": f"{run.cost_usd.normalize():f}",
            "octavo.run.status": run.status,
        },
    )


def _operation(run: RunView) -> str:
    if run.tool:
        return "call_tool"
    return "invoke_workflow" if run.workflow else "invoke_agent"


def _subject(run: RunView) -> Mapping[str, Any]:
    if run.tool:
        return {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": run.tool}
    if run.workflow:
        return {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": run.workflow}
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": run.agent,
        "gen_ai.agent.version": str(run.version),
    }


def _step(run: RunView, event: EventView, recorded: Sequence[RecordedDecision]) -> Span:
    failed = event.type in _FAILURES or event.data.get("is_error", False)
    policies = [
        {"action": d.action, "resource": d.resource, "outcome": d.outcome, "policies": d.policies}
        for d in recorded
    ]
    return Span(
        trace_id=run.trace_id,
        span_id=span_id(run.id, event.step, event.attempt),
        parent_id=span_id(run.id, "", 1),
        name=_name(event),
        kind=_KINDS[event.type],
        status=SpanStatus.ERROR if failed else SpanStatus.OK,
        started_at=event.started_at,
        ended_at=event.at,
        attributes={
            "octavo.step": event.step,
            "octavo.attempt": event.attempt,
            **_attributes(event),
            **({"octavo.decisions": policies} if policies else {}),
        },
    )


def _name(event: EventView) -> str:
    match event.type:
        case EventType.CONTEXT_RETRIEVED:
            return f"retrieve {', '.join(event.data['spaces'])}"
        case EventType.MODEL_ANSWERED:
            return f"chat {event.data['model']}"
        case EventType.TOOL_ANSWERED | EventType.TOOL_FAILED:
            return f"execute_tool {event.data['tool']}"
        case _:
            return event.step


def _attributes(event: EventView) -> Mapping[str, Any]:
    data = event.data
    match event.type:
        case EventType.CONTEXT_RETRIEVED:
            return {
                "gen_ai.operation.name": "retrieval",
                "octavo.sources": [source["citation"] for source in data["sources"]],
            }
        case EventType.MODEL_ANSWERED:
            return {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": data["provider"],
                "gen_ai.request.model": data["model"],
                "gen_ai.response.finish_reasons": [data["finish_reason"]],
                "gen_ai.usage.input_tokens": data["usage"]["input_tokens"],
                "gen_ai.usage.output_tokens": data["usage"]["output_tokens"],
                "octavo.cost_usd": data["usage"]["cost_usd"],
                "octavo.usage_id": data["usage_id"],
            }
        case EventType.MODEL_FAILED:
            return {"error.type": data["code"], "error.message": data["detail"]}
        case EventType.TOOL_FAILED:
            return {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": data["tool"],
                "error.type": "tool_unavailable",
                "error.message": data["detail"],
            }
        case _:
            return {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": data["tool"],
                "gen_ai.tool.call.id": data["call_id"],
                "octavo.tool.trust": data["trust"],
            }


def _human(run: RunView, asked: EventView, decided: EventView | None) -> Span:
    """The wait for a person, from the question to the answer."""
    data = decided.data if decided else {}
    approved = data.get("status") == "approved"
    status = SpanStatus.OK if approved else SpanStatus.ERROR
    return Span(
        trace_id=run.trace_id,
        span_id=span_id(run.id, f"{asked.step}:approval", asked.attempt),
        parent_id=span_id(run.id, "", 1),
        name=f"approval {asked.data.get('tool', '')}".strip(),
        kind=SpanKind.HUMAN,
        status=status if decided else SpanStatus.UNSET,
        started_at=asked.at,
        ended_at=decided.at if decided else run.finished_at,
        attributes={
            "octavo.step": asked.step,
            "octavo.approval": asked.data["approval"],
            "octavo.approval.status": data.get("status", "pending"),
            "octavo.approval.by": data.get("by"),
        },
    )
