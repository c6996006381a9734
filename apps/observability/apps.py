"""Observability: usage rows, spans, Prometheus metrics."""

from django.apps import AppConfig


class ObservabilityConfig(AppConfig):
    name = "apps.observability"
