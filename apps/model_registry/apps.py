"""Model registry: providers, models, routes."""

from django.apps import AppConfig


class ModelRegistryConfig(AppConfig):
    name = "apps.model_registry"

    def ready(self) -> None:
        from apps.governance.services import decisions
        from apps.governance.types import ResourceKind
        from apps.model_registry import selectors

        decisions.register_lister(kind=ResourceKind.ROUTE, lister=selectors.list_route_resources)
