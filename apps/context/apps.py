"""Context contributes its spaces to governance and its built-in tools to the layer below."""

from django.apps import AppConfig


class ContextConfig(AppConfig):
    name = "apps.context"

    def ready(self) -> None:
        from apps.context import access
        from apps.context.tools import changing, reading, remembering
        from apps.governance.services import decisions
        from apps.governance.types import ResourceKind
        from apps.tools.services.builtins import register_builtin

        decisions.register_lister(kind=ResourceKind.SPACE, lister=access.list_resources)
        for tool in (*reading.TOOLS, *changing.TOOLS, *remembering.TOOLS):
            register_builtin(tool)
