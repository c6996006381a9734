"""Tools tells governance which tools there are."""

from django.apps import AppConfig


class ToolsConfig(AppConfig):
    name = "apps.tools"

    def ready(self) -> None:
        from apps.governance.services import decisions
        from apps.governance.types import ResourceKind
        from apps.tools import selectors

        decisions.register_lister(kind=ResourceKind.TOOL, lister=selectors.list_resources)
