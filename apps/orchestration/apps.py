"""Orchestration subscribes to the events that wake a waiting run."""

from django.apps import AppConfig


class OrchestrationConfig(AppConfig):
    name = "apps.orchestration"
