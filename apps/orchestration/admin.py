"""What staff see of runs: where each stands and who holds it."""

from django.contrib import admin

from apps.orchestration.models import Run, Timer, Workflow, WorkflowVersion
from octavo.kernel.staff import ReadOnlyTable


@admin.register(Run)
class RunTable(ReadOnlyTable[Run]):
    list_display = ("created_at", "agent_name", "version", "status", "steps", "cost_usd", "owner")
    list_filter = ("status", "agent_name")


@admin.register(Timer)
class TimerTable(ReadOnlyTable[Timer]):
    list_display = ("fire_at", "run_id", "key", "fired_at")


@admin.register(Workflow)
class WorkflowTable(ReadOnlyTable[Workflow]):
    list_display = ("name", "head", "created_at")
    search_fields = ("name",)


@admin.register(WorkflowVersion)
class WorkflowVersionTable(ReadOnlyTable[WorkflowVersion]):
    list_display = ("workflow", "number", "saved_by", "created_at")
