"""Agents tells governance which agents there are, and contributes what a definition grants as a
fact to policy decisions.
"""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "apps.agents"

    def ready(self) -> None:
        from apps.agents import selectors
        from apps.agents.services import grants
        from apps.governance.services import decisions
        from apps.governance.types import ResourceKind
        from octavo.kernel.scope import PrincipalKind

        decisions.register_facts(kind=PrincipalKind.AGENT, provider=grants.provide_facts)
        decisions.register_lister(kind=ResourceKind.AGENT, lister=selectors.list_resources)
