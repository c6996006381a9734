"""Orchestration subscribes to what wakes a run, tells agents which version a run has, and offers
the tools that make a run wait, workflows among them.
"""

from django.apps import AppConfig


class OrchestrationConfig(AppConfig):
    name = "apps.orchestration"

    def ready(self) -> None:
        from apps.agents.services import grants
        from apps.governance.services import decisions
        from apps.governance.types import ResourceKind
        from apps.observability import metrics
        from apps.orchestration import builtin_tools, health, selectors
        from apps.orchestration.workflows import catalog
        from apps.tools.services.builtins import register_builtin, register_source
        from octavo.kernel import events, jobs

        for tool in builtin_tools.TOOLS:
            register_builtin(tool)
        events.subscribe("approval.decided", job="orchestration.approval_decided")
        events.keep("context.entry_written")
        events.keep("orchestration.run_finished")
        events.keep("orchestration.episode_due")
        grants.register_pins(selectors.find_pinned_version, routes=selectors.find_pinned_route)
        register_source(prefix=catalog.PREFIX, source=catalog.list_tools)
        decisions.register_lister(kind=ResourceKind.WORKFLOW, lister=catalog.list_resources)
        metrics.register_gauge(
            name="runs_ready",
            description="Runs that no worker has taken yet.",
            read=selectors.count_ready,
        )
        for name, description, read in health.readers():
            metrics.register_gauge(name=name, description=description, read=read)
        metrics.register_gauge(
            name="outbox_depth",
            description="Promised jobs that are not published yet.",
            read=jobs.count_waiting,
        )
