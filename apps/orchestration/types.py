"""Durable runs as other layers see them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
      is one tool call
    - context_retrieved: query, quote (bool), spaces, as_of?,
      sources [{text, score, citation, trust}]
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
    - run_paused, run_resumed: by
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
    RUN_PAUSED = "run_paused"
    RUN_RESUMED = "run_resumed"
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


class Priority(StrEnum):
    """How soon a run that is ready is taken, among those of its project."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """`output` is `{"text", "citations", "data"?}`, `error` is `{"code", "detail"}`.

    Of `agent`, `workflow` and `tool` one names what runs, the others are None, None and "".
    `version` is that of the agent or workflow.
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
    session: str
    metadata: Mapping[str, Any]
    parent: UUID | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    tags: tuple[str, ...] = ()
    priority: Priority = Priority.NORMAL
    retry_of: UUID | None = None
    workflow: str | None = None

    @property
    def subject(self) -> str:
        """The name of what runs."""
        return self.agent or self.workflow or self.tool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """What runs are sought; each field that is set narrows. An empty filter finds all.

    `tags` are all there; `metadata` holds each key with that string, or the number or boolean that
    the string spells; `error` is the code of a failed run; `text` occurs in the first thousand
    characters of the input, whatever its case; costs and seconds include their bounds.
    """

    status: RunStatus | None = None
    agent: str = ""
    workflow: str = ""
    tool: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    min_cost: Decimal | None = None
    max_cost: Decimal | None = None
    min_seconds: float | None = None
    max_seconds: float | None = None
    error: str = ""
    session: str = ""
    started_by: str = ""
    parent: UUID | None = None
    retry_of: UUID | None = None
    only_roots: bool = False
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""


class BulkAction(StrEnum):
    """What can be done to all runs that a filter finds."""

    CANCEL = "cancel"
    RETRY = "retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkPlan:
    """What a bulk action would be done to now: how many runs, and the newest few."""

    action: BulkAction
    matching: int
    sample: tuple[RunView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkView:
    """A bulk action under way. Of `total` runs, `done` were handled, `skipped` had moved on, and
    `refused` may not be handled by the asker: `problems` has the first `{run, detail}`.
    """

    id: UUID
    action: BulkAction
    wanted: RunFilter
    total: int
    done: int
    skipped: int
    refused: int
    problems: tuple[Mapping[str, Any], ...]
    started_by: str
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a run stands where it does, in one sentence, and what a person can do about it ("" for
    nothing). `code` names the cause: `queued`, `no_worker`, `slot`, `backoff`, `running`,
    `lease_lost`, `paused`, `quarantined`, `ended`, or the kind of what it waits for.
    """

    code: str
    summary: str
    next_step: str


class LimitKind(StrEnum):
    """What a concurrency limit counts the runs of."""

    PROJECT = "project"
    AGENT = "agent"
    ROUTE = "route"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyLimitView:
    """At most `most` runs at once; `running` do now, `waiting` wait for a slot."""

    kind: LimitKind
    target: str
    most: int
    running: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """A process that takes runs. `duties` says when it last finished each."""

    name: str
    held: int
    threads: int
    started_at: datetime
    seen_at: datetime
    is_alive: bool
    duties: Mapping[str, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCount:
    """Live runs in one state, and how many have been in it for longer than that."""

    count: int
    over_minute: int
    over_ten_minutes: int
    over_hour: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsHealth:
    """The queue as it stands: the project's runs, and what the installation does for them.

    `states` has `queued`, `running` and `waiting`; `last_hour` counts the runs that began in the
    last hour by what became of them.
    """

    states: Mapping[str, QueueCount]
    waiting_for_slot: int
    expired_leases: int
    quarantined: int
    last_hour: Mapping[RunStatus, int]
    timers_due: int
    outbox: int
    outbox_oldest_seconds: float
    workers: tuple[WorkerView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowProblem:
    """What is wrong with a definition, and exactly where. `line` and `column` count from 1; both
    are 0 where the definition was not given as text.
    """

    path: str
    detail: str
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowView:
    """A workflow at one version. `source` is its definition as text, for people to read and change;
    `description` is its own first words.
    """

    id: UUID
    name: str
    version: int
    description: str
    definition: Mapping[str, Any]
    source: str
    saved_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowNode:
    """A node as it is drawn. `body` holds the nodes and edges of a map's or a loop's body; `counts`
    says of a run how many times it came to each status, `status` which of them matters most.
    """

    id: str
    kind: str
    title: str
    status: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    body: "WorkflowPicture | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowEdge:
    """`label` is its condition, `error`, or ""."""

    source: str
    target: str
    label: str
    is_error: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowPicture:
    """What is drawn of a graph; `levels` are ids so that every edge leads to a later level."""

    nodes: tuple[WorkflowNode, ...]
    edges: tuple[WorkflowEdge, ...]
    levels: tuple[tuple[str, ...], ...]


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

    `started_at` is when the step began, `at` when its result was committed.
    """

    seq: int
    type: EventType
    step: str
    attempt: int
    started_at: datetime
    at: datetime
    data: Mapping[str, Any]


EVENTS_CHANNEL = "octavo:run:{run_id}"
"""Redis channel of a run.

`{"seq": n}` after each commit, `{"delta": text, "step": key}` while a model writes,
`{"abandoned": key}` when the text streamed for that step is to be forgotten.
"""
