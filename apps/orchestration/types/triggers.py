"""What starts runs by itself."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from apps.orchestration.types.runs import RunStatus
from octavo.kernel import ids


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
    """`space` and the pattern `key` of an entry; `statuses` of a run, and its `agent` or `workflow`
    ("" is any).
    """

    on: TriggerEvent
    space: str = ""
    key: str = "*"
    agent: str = ""
    workflow: str = ""
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
    """`next_runs` are the next times of a schedule unless it is paused; `last` its last firing.

    It starts either the agent or the workflow.
    """

    id: UUID
    kind: TriggerKind
    name: str
    agent: str | None
    workflow: str | None
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
