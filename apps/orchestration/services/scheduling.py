"""Schedules: each due time fires once, in however many processes, and nothing stops silently."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from apps.orchestration import timing as timings
from apps.orchestration import triggering
from apps.orchestration.models import Firing, Trigger
from apps.orchestration.services.starting import check_request
from apps.orchestration.trigger_rows import firing_view, schedule_of, stored, trigger_view
from apps.orchestration.triggering import Call
from apps.orchestration.types.triggers import (
    FiringOutcome,
    FiringView,
    Missed,
    Overlap,
    ScheduleSettings,
    Timing,
    TriggerKind,
    TriggerView,
)
from octavo.kernel import clock, ids
from octavo.kernel.clock import rfc3339
from octavo.kernel.scope import Scope

log = logging.getLogger(__name__)

_KIND = TriggerKind.SCHEDULE
_AT_ONCE = 200
_UNREADABLE_PAUSE = timedelta(hours=1)
MOST_QUEUED = 100


def create_schedule(
    *,
    scope: Scope,
    agent: str = "",
    workflow: str = "",
    input: str | dict[str, Any],
    cron: str | None = None,
    every_seconds: int | None = None,
    timezone: str = "UTC",
    overlap: Overlap = Overlap.SKIP,
    missed: Missed = Missed.RUN_ONCE,
    name: str = "",
) -> TriggerView:
    """Start a run of the agent or of the workflow whenever it is due, in the caller's name.

    Needs `trigger.manage` and the right to start it. Raises `InvalidInput` with paths.
    """
    triggering.check_manage(scope)
    timing = Timing(
        cron=cron, every_seconds=every_seconds, timezone=timezone, anchor=_whole_second()
    )
    settings = ScheduleSettings(input=input, timing=timing, overlap=overlap, missed=missed)
    _check(settings)
    row = triggering.create(
        scope,
        _KIND,
        **triggering.checked_target(scope, agent=agent, workflow=workflow),
        name=triggering.check_name(name),
        settings=stored(settings),
        next_due_at=timings.next_after(timing, timing.anchor),
    )
    return trigger_view(row)


def change_schedule(*, scope: Scope, schedule_id: UUID, changes: Mapping[str, Any]) -> TriggerView:
    """Change the named fields of `create_schedule`. It runs in the caller's name from then on.

    A new time counts from now; `cron` and `every_seconds` replace each other.
    """
    triggering.check_manage(scope)
    with transaction.atomic():
        row = triggering.get_row(scope, _KIND, schedule_id, lock=True)
        settings = _changed(schedule_of(row), changes)
        _check(settings)
        target = triggering.changed_target(scope, row, changes)
        name = triggering.check_name(changes.get("name", row.name))
        triggering.save(scope, row, **target, name=name, settings=stored(settings))
        reschedule(row)
    return trigger_view(row)


def _changed(settings: ScheduleSettings, changes: Mapping[str, Any]) -> ScheduleSettings:
    plain = {key: changes[key] for key in ("input", "overlap", "missed") if key in changes}
    timed = {key: changes[key] for key in ("cron", "every_seconds", "timezone") if key in changes}
    if timed.get("cron") is not None:
        timed.setdefault("every_seconds", None)
    if timed.get("every_seconds") is not None:
        timed.setdefault("cron", None)
    timing = replace(settings.timing, **timed, anchor=_whole_second()) if timed else settings.timing
    return replace(settings, **plain, timing=timing)


def _check(settings: ScheduleSettings) -> None:
    timings.check(settings.timing)
    check_request(settings.input)


def _whole_second() -> datetime:
    return clock.now().replace(microsecond=0)


def reschedule(row: Trigger) -> None:
    """Set when a locked schedule is next due, from now on; never while it is paused."""
    timing = schedule_of(row).timing
    ahead = timings.next_after(timing, clock.now())
    row.next_due_at = None if row.paused_at else ahead
    row.save(update_fields=["next_due_at"])


def run_now(*, scope: Scope, schedule_id: UUID) -> FiringView:
    """Start a run at once in the caller's name, also while another goes on or it is paused."""
    triggering.check_manage(scope)
    with transaction.atomic():
        row = triggering.get_row(scope, _KIND, schedule_id, lock=True)
        settings = schedule_of(row)
        call = Call(key=f"now:{ids.new()}", due_at=clock.now(), input=settings.input, by=scope)
        firing = triggering.fire(row, call)
    return firing_view(firing)


def fire_due(*, limit: int = _AT_ONCE) -> int:
    """Deal with schedules that are due, each in a transaction of its own; how many there were.

    Any number of processes may do so at once: a schedule is dealt with by one, and its next due
    time moves on together with the run.
    """
    for count in range(limit):
        if not _fire_next():
            return count
    return limit


@transaction.atomic
def _fire_next() -> bool:
    due = Trigger.objects.filter(next_due_at__lte=Now()).annotate(now=Now())
    row = due.select_for_update(skip_locked=True).order_by("next_due_at").first()
    if row is None or row.next_due_at is None:
        return False
    settings, now = schedule_of(row), row.now
    try:
        plan = timings.plan(settings.timing, due=row.next_due_at, now=now, missed=settings.missed)
        row.next_due_at = timings.next_after(settings.timing, now)
    except Exception as error:
        log.exception("Schedule %s cannot be followed", row.id)
        reason = f"The schedule cannot be followed ({error}). Save it again with another time."
        triggering.note(row, _call(settings, now), FiringOutcome.FAILED, reason=reason)
        plan, row.next_due_at = timings.Plan(), now + _UNREADABLE_PAUSE
    row.save(update_fields=["next_due_at"])
    if plan.passed_over is not None:
        _pass_over(row, settings, plan.passed_over, made_up=bool(plan.starts))
    for due_at in plan.starts:
        _meet(row, settings, _call(settings, due_at))
    return True


def _call(settings: ScheduleSettings, due_at: datetime) -> Call:
    return Call(key=f"due:{rfc3339(due_at)}", due_at=due_at, input=settings.input)


def _pass_over(
    row: Trigger,
    settings: ScheduleSettings,
    span: tuple[datetime, datetime],
    *,
    made_up: bool,
) -> None:
    first, last = span
    when = rfc3339(last) if first == last else f"from {rfc3339(first)} to {rfc3339(last)}"
    rest = "the run after it makes up for it" if made_up else "nothing makes up for it"
    reason = f"No worker ran when it was due ({when}); missed is {settings.missed}, so {rest}."
    triggering.note(row, _call(settings, last), FiringOutcome.SKIPPED, reason=reason)


def _meet(row: Trigger, settings: ScheduleSettings, call: Call) -> None:
    """Start the run of a due time, unless one that has not ended stands in its way."""
    is_parallel = settings.overlap is Overlap.PARALLEL
    live = None if is_parallel else triggering.find_live_run(row)
    queued = 0 if is_parallel else row.firings.filter(outcome=FiringOutcome.QUEUED.value).count()
    if live is None and not queued:
        triggering.fire(row, call)
        return
    name = ids.encode(ids.Kind.RUN, live) if live else "a run that waits"
    if settings.overlap is Overlap.SKIP:
        reason = f"Its run {name} had not ended."
        triggering.note(row, call, FiringOutcome.SKIPPED, reason=reason)
    elif queued >= MOST_QUEUED:
        reason = f"{MOST_QUEUED} runs wait for {name} already."
        triggering.note(row, call, FiringOutcome.SKIPPED, reason=reason)
    else:
        reason = f"It waits until {name} has ended."
        triggering.note(row, call, FiringOutcome.QUEUED, reason=reason)


def start_queued(*, limit: int = _AT_ONCE) -> int:
    """Start the oldest run that waits of each schedule whose last run has ended; how many."""
    queued = Firing.objects.filter(outcome=FiringOutcome.QUEUED.value)
    waiting = queued.order_by("trigger_id").values_list("trigger_id", flat=True).distinct()
    return sum(_start_oldest(trigger_id) for trigger_id in waiting[:limit])


@transaction.atomic
def _start_oldest(trigger_id: UUID) -> bool:
    rows = Trigger.objects.filter(id=trigger_id, paused_at=None)
    row = rows.select_for_update(skip_locked=True).first()
    if row is None or triggering.find_live_run(row) is not None:
        return False
    queued = row.firings.filter(outcome=FiringOutcome.QUEUED.value).order_by("due_at", "id").first()
    if queued is None:
        return False
    queued.delete()
    settings = schedule_of(row)
    triggering.fire(row, Call(key=queued.dedupe_key, due_at=queued.due_at, input=settings.input))
    return True
