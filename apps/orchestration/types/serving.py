"""How runs are found, served, bounded and explained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from apps.orchestration.types.runs import RunStatus, RunView


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
