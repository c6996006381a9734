"""Tools: registry, governed tool call, effect ledger."""

from django.apps import AppConfig


class ToolsConfig(AppConfig):
    name = "apps.tools"
