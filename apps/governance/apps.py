"""Governance installs itself as the kernel's audit keeper."""

from django.apps import AppConfig


class GovernanceConfig(AppConfig):
    name = "apps.governance"

    def ready(self) -> None:
        from apps.governance.services.audit import keep
        from octavo.kernel import audit

        audit.install(keep)
