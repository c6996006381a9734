"""Accounts contributes the role of users and services as a fact to policy decisions."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "apps.accounts"

    def ready(self) -> None:
        from apps.accounts.selectors import find_role
        from apps.governance.services import decisions
        from octavo.kernel.scope import PrincipalKind

        for kind in (PrincipalKind.USER, PrincipalKind.SERVICE):
            decisions.register_facts(kind=kind, provider=find_role, depends_on_resource=False)
