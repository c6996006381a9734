"""What staff see of runs: where each stands and who holds it."""

from django.contrib import admin

from apps.orchestration.models import Firing, Run, Timer, Trigger, Workflow, WorkflowVersion
from octavo.kernel.staff import ReadOnlyTable


@admin.register(Run)
class RunTable(ReadOnlyTable[Run]):
    list_display = ("created_at", "agent_name", "version", "status", "steps", "cost_usd", "owner")
    list_filter = ("status", "agent_name")


@admin.register(Timer)
class TimerTable(ReadOnlyTable[Timer]):
    list_display = ("fire_at", "run_id", "key", "fired_at")


@admin.register(Trigger)
class TriggerTable(ReadOnlyTable[Trigger]):
    list_display = ("created_at", "kind", "name", "agent", "owner_name", "next_due_at", "paused_at")
    list_filter = ("kind", "agent")
    hidden = ("token_hash", "secret", "old_secret")


@admin.register(Firing)
class FiringTable(ReadOnlyTable[Firing]):
    list_display = ("at", "trigger", "due_at", "outcome", "reason", "run_id")
    list_filter = ("outcome",)


@admin.register(Workflow)
class WorkflowTable(ReadOnlyTable[Workflow]):
    list_display = ("name", "head", "created_at")
    search_fields = ("name",)


@admin.register(WorkflowVersion)
class WorkflowVersionTable(ReadOnlyTable[WorkflowVersion]):
    list_display = ("workflow", "number", "saved_by", "created_at")
