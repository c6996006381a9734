"""Durable runs as other layers see them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID


class RunStatus(StrEnum):
    """The public names of a run's life."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"

    @property
    def is_final(self) -> bool:
        return self in {
            RunStatus.SUCCEEDED,
            RunStatus.FAILED,
            RunStatus.CANCELLED,
            RunStatus.QUARANTINED,
        }


class EventType(StrEnum):
    """What a journal records. One event is one finished step, or one change in the run's life."""

    RUN_STARTED = "run_started"
    CONTEXT_RETRIEVED = "context_retrieved"
    MODEL_ANSWERED = "model_answered"
    MODEL_FAILED = "model_failed"
    TOOL_INTENDED = "tool_intended"
    TOOL_ANSWERED = "tool_answered"
    APPROVAL_REQUESTED = "approval_requested"
    APPROVAL_DECIDED = "approval_decided"
    EFFECT_UNKNOWN = "effect_unknown"
    EFFECT_RESOLVED = "effect_resolved"
    MAIL_RECEIVED = "mail_received"
    RUN_SUCCEEDED = "run_succeeded"
    RUN_FAILED = "run_failed"
    RUN_CANCELLED = "run_cancelled"
    RUN_QUARANTINED = "run_quarantined"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingOn:
    """Why a run waits: `kind` ∈ approval, timer, signal, run, input, effect."""

    kind: str
    id: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """`output` is `{"text", "citations", "data"?}`, `error` is `{"code", "detail"}`."""

    id: UUID
    agent: str
    version: int
    status: RunStatus
    input: Any
    output: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    waiting_on: WaitingOn | None
    steps: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    trace_id: str
    started_by: str
    session: str
    metadata: Mapping[str, Any]
    parent: UUID | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """One journal event. `step` is its step key, `data` is shaped by its type, `started_at` is when the step began."""

    seq: int
    type: EventType
    step: str
    attempt: int
    started_at: datetime
    at: datetime
    data: Mapping[str, Any]


EVENTS_CHANNEL = "octavo:run:{run_id}"
"""Redis channel of a run: `{"seq": n}` after each commit, `{"delta": text, "step": key}` while a model writes."""
