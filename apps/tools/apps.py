"""Tools tells governance which tools and servers there are, and offers the tools of its own."""

from django.apps import AppConfig


class ToolsConfig(AppConfig):
    name = "apps.tools"

    def ready(self) -> None:
        from apps.governance.services import decisions
        from apps.governance.types import ResourceKind
        from apps.tools import builtin_tools, selectors
        from apps.tools.services.builtins import register_builtin

        decisions.register_lister(kind=ResourceKind.TOOL, lister=selectors.list_resources)
        decisions.register_lister(
            kind=ResourceKind.TOOL_SERVER, lister=selectors.list_server_resources
        )
        for tool in builtin_tools.TOOLS:
            register_builtin(tool)
