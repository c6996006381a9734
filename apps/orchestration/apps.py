"""Orchestration subscribes to what wakes a run, tells agents which version a run has, and offers
the tools that make a run wait.
"""

from django.apps import AppConfig


class OrchestrationConfig(AppConfig):
    name = "apps.orchestration"

    def ready(self) -> None:
        from apps.agents.services import grants
        from apps.observability import metrics
        from apps.orchestration import builtin_tools, health, selectors
        from apps.tools.services.builtins import register_builtin
        from octavo.kernel import events, jobs

        for tool in builtin_tools.TOOLS:
            register_builtin(tool)
        events.subscribe("approval.decided", job="orchestration.approval_decided")
        events.keep("context.entry_written")
        events.keep("orchestration.run_finished")
        grants.register_pins(selectors.find_pinned_version, routes=selectors.find_pinned_route)
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
