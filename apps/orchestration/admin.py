"""What staff see of runs: where each stands and who holds it."""

from django.contrib import admin

from apps.orchestration.models import Run, Timer
from octavo.kernel.staff import ReadOnlyTable


@admin.register(Run)
class RunTable(ReadOnlyTable[Run]):
    list_display = ("created_at", "agent_name", "version", "status", "steps", "cost_usd", "owner")
    list_filter = ("status", "agent_name")


@admin.register(Timer)
class TimerTable(ReadOnlyTable[Timer]):
    list_display = ("fire_at", "run_id", "key", "fired_at")
