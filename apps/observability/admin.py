"""What staff see of usage: one row a settled model call."""

from django.contrib import admin

from apps.observability.models import Usage
from octavo.kernel.staff import ReadOnlyTable


@admin.register(Usage)
class UsageTable(ReadOnlyTable[Usage]):
    list_display = (
        "started_at",
        "provider",
        "model",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "status",
    )
    list_filter = ("status", "provider")
