"""Accounts tells policy decisions the role of users and services, and lists the project itself."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "apps.accounts"

    def ready(self) -> None:
        from apps.accounts.selectors import find_role
        from apps.governance.services import decisions
        from apps.governance.types import Resource, ResourceKind
        from octavo.kernel.scope import PrincipalKind

        for kind in (PrincipalKind.USER, PrincipalKind.SERVICE):
            decisions.register_facts(kind=kind, provider=find_role, depends_on_resource=False)
        decisions.register_lister(
            kind=ResourceKind.PROJECT, lister=lambda *, scope: [Resource.project_of(scope)]
        )
