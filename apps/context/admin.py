"""What staff see of the context store: what there is, not what it says."""

from django.contrib import admin

from apps.context.models import Entry, IngestJob, Space
from octavo.kernel.staff import ReadOnlyTable


@admin.register(Space)
class SpaceTable(ReadOnlyTable[Space]):
    list_display = ("name", "project", "kind", "seq", "entry_count", "chunk_count")


@admin.register(Entry)
class EntryTable(ReadOnlyTable[Entry]):
    list_display = ("key", "space", "kind", "head_number", "is_deleted")
    search_fields = ("key",)
    list_filter = ("kind", "is_deleted")


@admin.register(IngestJob)
class IngestJobTable(ReadOnlyTable[IngestJob]):
    list_display = ("created_at", "space", "status", "principal_name", "finished_at")
    list_filter = ("status",)
