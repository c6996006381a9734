"""What staff see of tools: the ledger of calls that must not be repeated."""

from django.contrib import admin

from apps.tools.models import Effect
from octavo.kernel.staff import ReadOnlyTable


@admin.register(Effect)
class EffectTable(ReadOnlyTable[Effect]):
    list_display = ("changed_at", "run_id", "step", "tool", "state")
    list_filter = ("state",)
