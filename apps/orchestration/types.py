"""Durable runs as other layers see them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from octavo.kernel import ids


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
      a fork forked_from {run, step}, edited [steps], route?, dry_run?; external?
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
class Edit:
    """What a step of a fork shall have come out as, in place of what it did.

    `output` is the text of a model's or a tool's answer; or, for a model, `{"content"?,
    "tool_calls"?: [{"name", "arguments"}]}`, and for a tool `{"content", "structured"?,
    "is_error"?}`.
    """

    step: str
    output: str | Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """`output` is `{"text", "citations", "data"?}`, `error` is `{"code", "detail"}`.

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
class RunFilter:
    """What runs are sought; each field that is set narrows. An empty filter finds all.

    `tags` are all there; `metadata` holds each key with that string, or the number or boolean that
    the string spells; `error` is the code of a failed run; `text` occurs in the first thousand
    characters of the input, whatever its case; `triggered_by` is the public id of a schedule, hook
    or event trigger; costs and seconds include their bounds.
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
    triggered_by: str = ""
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


class Part(StrEnum):
    """In what two runs may differ at a step."""

    PRESENCE = "presence"
    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One run's part of a pair of steps. `input` is what was asked: of a prompt, the messages that
    are new in it.
    """

    seq: int
    type: EventType
    input: Any
    output: Any
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    duration_ms: int
    inherited: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPair:
    """The same step of two runs; one side is None where a run has no such step."""

    step: str
    differs: tuple[Part, ...]
    a: Side | None
    b: Side | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDiff:
    """Two runs side by side: alike in their first `shared_steps`, if not in more."""

    a: RunView
    b: RunView
    shared_steps: int
    first_difference: str | None
    steps: tuple[StepPair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Something that the run had read when it decided: from which tool or space, how trusted."""

    step: str
    source: str
    trust: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One decision of a run. `chosen` is `{"tool", "arguments"}` or `{"answer"}`; `evidence` names
    the context revisions read until then; `outcome` is what the policies said.
    """

    step: str
    offered: tuple[str, ...]
    chosen: Mapping[str, Any]
    rationale: str
    evidence: tuple[Mapping[str, Any], ...]
    provenance: tuple[Provenance, ...]
    policies: tuple[str, ...]
    outcome: str
    approver: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What became of a report: events that are new, and events that were there already."""

    run: RunView
    accepted: int
    repeated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where a journal and the code part: what the code asks, and what the journal says."""

    seq: int
    step: str
    expected: Mapping[str, Any]
    recorded: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Whether the whole journal folds as it was written."""

    equal: bool
    first_difference: Difference | None
    events: int


class TriggerKind(StrEnum):
    """What starts runs by itself. A schedule is due, a hook is called, an event trigger reacts."""

    SCHEDULE = "schedule"
    HOOK = "hook"
    EVENT = "event"

    @property
    def id_kind(self) -> ids.Kind:
        return _ID_KINDS[self]


_ID_KINDS = {
    TriggerKind.SCHEDULE: ids.Kind.SCHEDULE,
    TriggerKind.HOOK: ids.Kind.HOOK,
    TriggerKind.EVENT: ids.Kind.TRIGGER,
}


class Overlap(StrEnum):
    """What a schedule does when it is due while a run of it has not ended."""

    SKIP = "skip"
    QUEUE = "queue"
    PARALLEL = "parallel"


class Missed(StrEnum):
    """What a schedule does about the times at which no worker ran."""

    SKIP = "skip"
    RUN_ONCE = "run_once"
    RUN_ALL = "run_all"


class TriggerEvent(StrEnum):
    """What an event trigger reacts to."""

    ENTRY_WRITTEN = "entry_written"
    RUN_FINISHED = "run_finished"


class FiringOutcome(StrEnum):
    """What came of a trigger's firing."""

    STARTED = "started"
    QUEUED = "queued"
    SKIPPED = "skipped"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a run starts without anybody asking for it.

    `trigger` and `firing` are public ids. `depth` counts the runs before it in its chain of
    triggers; `tainted`: its input came from outside.
    """

    trigger: str
    firing: str
    depth: int = 0
    tainted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a schedule is due: by `cron` in its time zone, or `every_seconds` from `anchor` on."""

    cron: str | None = None
    every_seconds: int | None = None
    timezone: str = "UTC"
    anchor: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSettings:
    input: Any
    timing: Timing
    overlap: Overlap = Overlap.SKIP
    missed: Missed = Missed.RUN_ONCE


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSettings:
    """`input_path` is a JSON pointer to the part of the body that becomes the input; "" is all."""

    input_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSettings:
    """`space` and the pattern `key` of an entry; `agent` ("" is any) and `statuses` of a run."""

    on: TriggerEvent
    space: str = ""
    key: str = "*"
    agent: str = ""
    statuses: tuple[RunStatus, ...] = ()


TriggerSettings = ScheduleSettings | HookSettings | EventSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringView:
    id: UUID
    outcome: FiringOutcome
    reason: str
    run_id: UUID | None
    due_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerView:
    """`next_runs` are the next times of a schedule unless it is paused; `last` its last firing."""

    id: UUID
    kind: TriggerKind
    name: str
    agent: str
    settings: TriggerSettings
    owner: str
    paused_at: datetime | None
    next_runs: tuple[datetime, ...]
    last: FiringView | None
    created_at: datetime
    updated_at: datetime

    @property
    def public_id(self) -> str:
        return ids.encode(self.kind.id_kind, self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHook:
    """A hook with what is shown once: `token` (None when only the secret is new) and `secret`."""

    hook: TriggerView
    token: str | None = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a hook answers its caller; `is_replay`: this delivery started its run before."""

    firing_id: UUID
    run_id: UUID
    status: RunStatus
    is_replay: bool


EVENTS_CHANNEL = "octavo:run:{run_id}"
"""Redis channel of a run.

`{"seq": n}` after each commit, `{"delta": text, "step": key}` while a model writes,
`{"abandoned": key}` when the text streamed for that step is to be forgotten.
"""
