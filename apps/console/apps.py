"""The web console."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "apps.console"
