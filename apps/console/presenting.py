"""What pages show of a run: one row a step with its kind, words and bar; waits are hatched."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.observability.types import Span, SpanKind, SpanStatus
from apps.orchestration.types import RunStatus, RunView
from octavo.kernel import clock, ids

_TONES = {
    RunStatus.QUEUED: "idle",
    RunStatus.RUNNING: "run",
    RunStatus.WAITING: "wait",
    RunStatus.PAUSED: "wait",
    RunStatus.SUCCEEDED: "ok",
    RunStatus.FAILED: "bad",
    RunStatus.CANCELLED: "idle",
    RunStatus.QUARANTINED: "bad",
}
_TICKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One run in a list or at the top of its page."""

    public_id: str
    agent: str
    version: int | None
    question: str
    status: str
    tone: str
    is_final: bool
    waiting_on: str
    created_at: datetime
    ago: str
    took: str
    steps: int
    tokens: str
    cost: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """One span on the waterfall; `left` and `width` are percent of the run's duration."""

    anchor: str
    kind: str
    name: str
    note: str
    depth: int
    left: str
    width: str
    took: str
    is_error: bool
    is_open: bool


def run_line(run: RunView) -> RunLine:
    end = run.finished_at or clock.now()
    return RunLine(
        public_id=ids.encode(ids.Kind.RUN, run.id),
        agent=run.agent or run.tool,
        version=run.version,
        question=question_of(run.input),
        status=str(run.status),
        tone=_TONES[run.status],
        is_final=run.status.is_final,
        waiting_on=run.waiting_on.kind if run.waiting_on else "",
        created_at=run.created_at,
        ago=ago(run.created_at),
        took=duration(end - (run.started_at or run.created_at)),
        steps=run.steps,
        tokens=f"{run.input_tokens + run.output_tokens:,}",
        cost=money(run.cost_usd),
    )


def question_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def step_lines(spans: Sequence[Span]) -> list[StepLine]:
    """Spans in order of their start, each below its parent."""
    if not spans:
        return []
    start = min(span.started_at for span in spans)
    end = max(span.ended_at or clock.now() for span in spans)
    whole = max((end - start).total_seconds(), 0.001)
    depths = _depths(spans)
    return [_step_line(span, start, whole, depths[span.span_id]) for span in spans]


def _depths(spans: Sequence[Span]) -> dict[str, int]:
    parents = {span.span_id: span.parent_id for span in spans}

    def depth(span_id: str) -> int:
        parent = parents.get(span_id)
        return 1 + depth(parent) if parent in parents and parent != span_id else 0

    return {span.span_id: depth(span.span_id) for span in spans}


def _step_line(span: Span, start: datetime, whole: float, depth: int) -> StepLine:
    took = (span.ended_at or clock.now()) - span.started_at
    left = min((span.started_at - start).total_seconds() / whole, 1.0) * 100
    return StepLine(
        anchor=f"s{span.span_id}",
        kind=str(span.kind),
        name=span.name,
        note=_note(span.attributes),
        depth=depth,
        left=f"{left:.2f}",
        width=f"{min(took.total_seconds() / whole * 100, 100 - left):.2f}",
        took=duration(took) if span.ended_at else "…",
        is_error=span.status is SpanStatus.ERROR,
        is_open=span.ended_at is None or span.kind is SpanKind.HUMAN,
    )


def _note(attributes: Mapping[str, Any]) -> str:
    """The two or three facts that matter of a step."""
    parts = [
        str(attributes[name])
        for name in ("gen_ai.request.model", "octavo.query", "gen_ai.tool.name")
        if attributes.get(name)
    ]
    given = attributes.get("gen_ai.usage.input_tokens") or 0
    made = attributes.get("gen_ai.usage.output_tokens") or 0
    if given or made:
        parts.append(f"{given:,} → {made:,} tokens")
    return " · ".join(parts)


def ticks(spans: Sequence[Span]) -> list[str]:
    """The ruler above the waterfall."""
    if not spans:
        return []
    start = min(span.started_at for span in spans)
    whole = max(span.ended_at or clock.now() for span in spans) - start
    return [duration(whole * part / _TICKS) for part in range(_TICKS + 1)]


def duration(span: timedelta) -> str:
    """`340 ms`, `2.4 s`, `3 m 05 s`, `2 h 10 m`."""
    seconds = max(span.total_seconds(), 0.0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} m"


def ago(moment: datetime) -> str:
    seconds = (clock.now() - moment).total_seconds()
    if seconds < 10:
        return "now"
    if seconds < 60:
        return f"{int(seconds)} s ago"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if seconds < 86400:
        return f"{int(seconds // 3600)} h ago"
    return f"{int(seconds // 86400)} d ago"


def money(usd: Decimal) -> str:
    """`$0` for nothing, four decimals below a dollar, two above."""
    if not usd:
        return "$0"
    return f"${usd:.2f}" if usd >= 1 else f"${usd:.4f}"
