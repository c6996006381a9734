"""Governance installs itself as the kernel's audit keeper."""

from django.apps import AppConfig


class GovernanceConfig(AppConfig):
    name = "apps.governance"
