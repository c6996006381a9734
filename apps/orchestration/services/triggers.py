"""What people do to any trigger, whatever makes it fire: hold it, let it go on, end it."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from apps.orchestration import triggering
from apps.orchestration.models import Firing
from apps.orchestration.services.scheduling import reschedule
from apps.orchestration.trigger_rows import trigger_view
from apps.orchestration.types.triggers import FiringOutcome, TriggerKind, TriggerView
from octavo.kernel.scope import Scope

_PRUNED = 5000


def pause_trigger(*, scope: Scope, kind: TriggerKind, trigger_id: UUID) -> TriggerView:
    """Start nothing until `resume_trigger`; runs that have begun go on. Idempotent."""
    return _hold(scope, kind, trigger_id, pauses=True)


def resume_trigger(*, scope: Scope, kind: TriggerKind, trigger_id: UUID) -> TriggerView:
    """Let it fire again; what it did not see meanwhile is not made up for. Idempotent."""
    return _hold(scope, kind, trigger_id, pauses=False)


def _hold(scope: Scope, kind: TriggerKind, trigger_id: UUID, *, pauses: bool) -> TriggerView:
    triggering.check_manage(scope)
    with transaction.atomic():
        row = triggering.get_row(scope, kind, trigger_id, lock=True)
        if pauses != (row.paused_at is not None):
            row.paused_at = Now() if pauses else None
            row.save(update_fields=["paused_at"])
            row.refresh_from_db()
            if kind is TriggerKind.SCHEDULE:
                reschedule(row)
            triggering.record(scope, row, "pause" if pauses else "resume")
    return trigger_view(row)


def delete_trigger(*, scope: Scope, kind: TriggerKind, trigger_id: UUID) -> None:
    """End it for good, with the record of its firings. Its runs stay, and go on."""
    triggering.check_manage(scope)
    with transaction.atomic():
        row = triggering.get_row(scope, kind, trigger_id, lock=True)
        triggering.record(scope, row, "delete", **triggering.started_by(row), name=row.name)
        row.delete()


def forget_firings() -> int:
    """Drop what came of firings long ago, of the whole installation; how many there were."""
    kept_for = timedelta(days=settings.TRIGGER_HISTORY_DAYS)
    old = Firing.objects.filter(at__lt=Now() - kept_for).exclude(outcome=FiringOutcome.QUEUED.value)
    chosen = list(old.order_by("at").values_list("id", flat=True)[:_PRUNED])
    return Firing.objects.filter(id__in=chosen).delete()[0]
