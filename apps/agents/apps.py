"""Agents contributes what a definition grants as a fact to policy decisions."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "apps.agents"
