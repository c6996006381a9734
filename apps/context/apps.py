"""Context registers its built-in tools with the layer below."""

from django.apps import AppConfig


class ContextConfig(AppConfig):
    name = "apps.context"
