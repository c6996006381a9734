"""Usage and spans, in the terms of OpenTelemetry's GenAI conventions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID


class SpanKind(StrEnum):
    """Which layer a span belongs to; the console's six hues."""

    AGENT = "agent"
    MODEL = "model"
    TOOL = "tool"
    CONTEXT = "context"
    POLICY = "policy"
    HUMAN = "human"


class SpanStatus(StrEnum):
    OK = "ok"
    ERROR = "error"
    UNSET = "unset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """`span_id` is 16 hex digits, `trace_id` 32. An unfinished span has no `ended_at`."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: SpanKind
    status: SpanStatus
    started_at: datetime
    ended_at: datetime | None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceParent:
    """Where a call stands in its caller's trace; `parent_id` is 16 hex digits, "" for the root."""

    trace_id: UUID
    parent_id: str = ""


class CallStatus(StrEnum):
    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageView:
    """One model call as it was settled."""

    id: UUID
    run_id: UUID | None
    trace_id: UUID | None
    parent_id: str
    decision_id: UUID | None
    step: str
    kind: str
    model: str
    provider: str
    route: str
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    status: CallStatus
    started_at: datetime
    ended_at: datetime


class GroupBy(StrEnum):
    """What usage may be summed by."""

    AGENT = "agent"
    MODEL = "model"
    ROUTE = "route"
    KEY = "key"
    PROJECT = "project"
    DAY = "day"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageGroup:
    """The calls of one agent, key or project (an id), of one model or route, or of one day (texts).

    None: calls without an agent or a key. `failed` calls are among the `calls`.
    """

    of: UUID | str | None
    calls: int
    failed: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTotal:
    """What settled model calls add up to."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
