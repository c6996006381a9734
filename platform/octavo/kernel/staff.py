"""The staff's view of a table under /admin/: it shows rows, and changes none."""

from typing import Any, ClassVar

from django.db import models
from django.http import HttpRequest
from unfold.admin import ModelAdmin


class ReadOnlyTable[T: models.Model](ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Rows are written by services, which check, audit and tell; the admin would do none of it."""

    list_per_page = 50
    show_full_result_count = False
    hidden: ClassVar[tuple[str, ...]] = ()
    """Fields that nobody is shown: secrets and their hashes."""

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [f.name for f in self.model._meta.fields if f.name not in self.hidden]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.get_fields(request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
