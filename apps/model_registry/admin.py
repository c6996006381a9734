"""What staff see of models: never a provider's key."""

from django.contrib import admin

from apps.model_registry.models import Model, Provider, Route
from octavo.kernel.staff import ReadOnlyTable


@admin.register(Provider)
class ProviderTable(ReadOnlyTable[Provider]):
    list_display = ("name", "kind", "base_url", "automatic", "created_at")
    hidden = ("api_key",)


@admin.register(Model)
class ModelTable(ReadOnlyTable[Model]):
    list_display = ("name", "provider", "kind", "tier", "context_window")
    list_filter = ("kind", "tier")


@admin.register(Route)
class RouteTable(ReadOnlyTable[Route]):
    list_display = ("name", "project", "kind", "automatic", "updated_at")
