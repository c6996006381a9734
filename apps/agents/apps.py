"""Agents tells governance which agents there are and what a definition grants, and offers agents
as tools of other agents, to ask or to hand over to.
"""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "apps.agents"

    def ready(self) -> None:
        from apps.agents import as_tools, planning, selectors
        from apps.agents.services import grants
        from apps.agents.types import HANDOFF_PREFIX
        from apps.governance.services import decisions
        from apps.governance.types import ResourceKind
        from apps.tools.services.builtins import register_builtin, register_source
        from octavo.kernel.scope import PrincipalKind

        decisions.register_facts(kind=PrincipalKind.AGENT, provider=grants.provide_facts)
        register_builtin(planning.REVISE)
        register_source(prefix=as_tools.PREFIX, source=as_tools.list_tools)
        register_source(prefix=HANDOFF_PREFIX, source=as_tools.list_handoffs)
        decisions.register_lister(kind=ResourceKind.AGENT, lister=selectors.list_resources)
