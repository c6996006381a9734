"""Triggers as others see them, and their settings as they are stored."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from apps.orchestration import timing
from apps.orchestration.models import Firing, Trigger
from apps.orchestration.types.runs import RunStatus
from apps.orchestration.types.triggers import (
    EventSettings,
    FiringOutcome,
    FiringView,
    HookSettings,
    Missed,
    Overlap,
    ScheduleSettings,
    Timing,
    TriggerEvent,
    TriggerKind,
    TriggerSettings,
    TriggerView,
)
from octavo.kernel import clock, ids

_SHOWN_AHEAD = 5


def public_id(row: Trigger) -> str:
    return ids.encode(TriggerKind(row.kind).id_kind, row.id)


def stored(settings: TriggerSettings) -> dict[str, Any]:
    found = asdict(settings)
    if isinstance(settings, ScheduleSettings):
        found["timing"]["anchor"] = settings.timing.anchor.isoformat()
    return found


def schedule_of(row: Trigger) -> ScheduleSettings:
    kept: Mapping[str, Any] = row.settings
    anchor = datetime.fromisoformat(kept["timing"]["anchor"])
    return ScheduleSettings(
        input=kept["input"],
        timing=Timing(**{**kept["timing"], "anchor": anchor}),
        overlap=Overlap(kept["overlap"]),
        missed=Missed(kept["missed"]),
    )


def event_of(row: Trigger) -> EventSettings:
    kept: Mapping[str, Any] = row.settings
    statuses = tuple(RunStatus(status) for status in kept["statuses"])
    return EventSettings(**{**kept, "on": TriggerEvent(kept["on"]), "statuses": statuses})


def hook_of(row: Trigger) -> HookSettings:
    return HookSettings(**row.settings)


def settings_of(row: Trigger) -> TriggerSettings:
    match TriggerKind(row.kind):
        case TriggerKind.SCHEDULE:
            return schedule_of(row)
        case TriggerKind.HOOK:
            return hook_of(row)
        case TriggerKind.EVENT:
            return event_of(row)


def firing_view(row: Firing) -> FiringView:
    return FiringView(
        id=row.id,
        outcome=FiringOutcome(row.outcome),
        reason=row.reason,
        run_id=row.run_id,
        due_at=row.due_at,
        at=row.at,
    )


def trigger_views(rows: Iterable[Trigger]) -> list[TriggerView]:
    """Each with its last firing."""
    rows = list(rows)
    last = Firing.objects.filter(trigger__in=rows).order_by("trigger_id", "-id")
    found = {firing.trigger_id: firing for firing in last.distinct("trigger_id")}
    return [_view(row, found.get(row.id)) for row in rows]


def trigger_view(row: Trigger) -> TriggerView:
    return trigger_views([row])[0]


def _view(row: Trigger, last: Firing | None) -> TriggerView:
    settings = settings_of(row)
    return TriggerView(
        id=row.id,
        kind=TriggerKind(row.kind),
        name=row.name,
        agent=row.agent or None,
        workflow=row.workflow or None,
        settings=settings,
        owner=row.owner_name,
        paused_at=row.paused_at,
        next_runs=_ahead(row, settings),
        last=firing_view(last) if last else None,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _ahead(row: Trigger, settings: TriggerSettings) -> tuple[datetime, ...]:
    if not isinstance(settings, ScheduleSettings) or row.paused_at is not None:
        return ()
    return timing.upcoming(settings.timing, clock.now(), count=_SHOWN_AHEAD)
