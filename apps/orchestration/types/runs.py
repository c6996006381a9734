"""Durable runs and their journals as other layers see them."""

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
    """What a journal records: one finished step, or one change in the run's life.

    `EventView.data` by type (keys that may be missing are marked `?`):

    - run_started: agent, version, strategy, input; workflow of a workflow's run, tool of a run that
      is one tool call; triggered_by? {trigger, firing}, tainted? (the input came from outside); of
      a fork forked_from {run, step}, edited [steps], route?, dry_run?; external?; of a run that
      took over handed_off_by {run, agent, why}, conversation [message]
    - context_retrieved: query, quote (bool), spaces, as_of?,
      sources [{text, score, citation, trust}],
      memory? [{space, name, about, text, revision, trust}]
    - model_answered: route, model, provider, finish_reason, message {role, content, tool_calls},
      offered [tool names], usage {input_tokens, output_tokens, cost_usd}, usage_id, decision_id
    - model_failed: code, detail, retry_in (seconds, or null after the last attempt),
      is_too_long? (the next attempt sends a shorter conversation)
    - tool_intended: tool, arguments, idempotency_key
    - tool_failed: tool, detail, was_sent (the call may have happened), retry_in (seconds)
    - tool_answered: tool, call_id, arguments, message {role, content, tool_call_id}, is_error,
      trust, evidence [citation], structured?, decision? {id, outcome, policies}, approval?
    - approval_requested: approval (public id), tool, arguments, policy, explain, expires_at
    - approval_decided: approval, status, by, note, arguments?
    - effect_unknown: tool, idempotency_key; effect_resolved: outcome, by
    - input_requested: question, choices?; input_received: content, by; timer_started: until
    - signal_received: name, payload, by
    - child_started: run, agent or workflow; child_finished: run, status, output, error, tainted
    - handed_off: run, agent, why, conversation [message] (the run goes on as that run of that
      agent; the next child_finished of the step ends it)
    - run_paused, run_resumed: by; note: text (what a loop outside wants to be known)
    - run_succeeded: output; run_failed, run_quarantined: code, detail; run_cancelled: nothing
    """

    RUN_STARTED = "run_started"
    CONTEXT_RETRIEVED = "context_retrieved"
    MODEL_ANSWERED = "model_answered"
    MODEL_FAILED = "model_failed"
    TOOL_INTENDED = "tool_intended"
    TOOL_FAILED = "tool_failed"
    TOOL_ANSWERED = "tool_answered"
    APPROVAL_REQUESTED = "approval_requested"
    APPROVAL_DECIDED = "approval_decided"
    EFFECT_UNKNOWN = "effect_unknown"
    EFFECT_RESOLVED = "effect_resolved"
    INPUT_REQUESTED = "input_requested"
    INPUT_RECEIVED = "input_received"
    TIMER_STARTED = "timer_started"
    SIGNAL_RECEIVED = "signal_received"
    CHILD_STARTED = "child_started"
    CHILD_FINISHED = "child_finished"
    HANDED_OFF = "handed_off"
    RUN_PAUSED = "run_paused"
    RUN_RESUMED = "run_resumed"
    MAIL_RECEIVED = "mail_received"
    NOTE = "note"
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


class Priority(StrEnum):
    """How soon a run that is ready is taken, among those of its project."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkPoint:
    """The run that a fork began with, and the last of its steps that it took over."""

    run: UUID
    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """`output` is `{"text", "citations", "data"?, "answered_by"?}`, `error` `{"code", "detail"}`;
    `answered_by` is the `{"run", "agent"}` that took over and answered.

    Of `agent`, `workflow` and `tool` one names what runs, the others are None, None and "".
    `version` is that of the agent or workflow; `given_route` is "" where it is the definition's.
    `is_external`: a loop outside reports the run. `triggered_by` is the public id of the schedule,
    hook or trigger that started it, else "".
    """

    id: UUID
    agent: str | None
    version: int | None
    tool: str
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
    triggered_by: str = ""
    session: str
    metadata: Mapping[str, Any]
    parent: UUID | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    tags: tuple[str, ...] = ()
    priority: Priority = Priority.NORMAL
    retry_of: UUID | None = None
    forked_from: ForkPoint | None = None
    given_route: str = ""
    is_dry_run: bool = False
    is_external: bool = False
    cancel_requested: bool = False
    workflow: str | None = None

    @property
    def subject(self) -> str:
        """The name of what runs."""
        return self.agent or self.workflow or self.tool


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswer:
    """What a tool said. `evidence` names the context revisions that it rests on."""

    text: str
    structured: Mapping[str, Any] | None
    is_error: bool
    trust: str
    evidence: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallView:
    """A run that is one tool call. `answer` is None until there is one.

    `outcome` and `policies` are what the policies said of the call; "" and none before they did.
    """

    run: RunView
    answer: ToolAnswer | None
    outcome: str
    policies: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTotals:
    """How many runs there are of each status, and what all of them cost so far."""

    by_status: Mapping[RunStatus, int]
    cost_usd: Decimal

    @property
    def count(self) -> int:
        return sum(self.by_status.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """One journal event. `step` is its step key, `data` is shaped by its type.

    `started_at` is when the step began, `at` when its result was committed. `inherited`: the run is
    a fork, and the event is its parent's.
    """

    seq: int
    type: EventType
    step: str
    attempt: int
    started_at: datetime
    at: datetime
    data: Mapping[str, Any]
    inherited: bool = False


EVENTS_CHANNEL = "octavo:run:{run_id}"
"""Redis channel of a run.

`{"seq": n}` after each commit, `{"delta": text, "step": key}` while a model writes,
`{"abandoned": key}` when the text streamed for that step is to be forgotten.
"""
