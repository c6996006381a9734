"""Orchestration subscribes to what wakes a run, and tells agents which version a run has."""

from django.apps import AppConfig


class OrchestrationConfig(AppConfig):
    name = "apps.orchestration"

    def ready(self) -> None:
        from apps.agents.services import grants
        from apps.observability import metrics
        from apps.orchestration import selectors
        from octavo.kernel import events, jobs

        events.subscribe("approval.decided", job="orchestration.approval_decided")
        grants.register_pins(selectors.find_pinned_version)
        metrics.register_gauge(
            name="runs_ready",
            description="Runs that no worker has taken yet.",
            read=selectors.count_ready,
        )
        metrics.register_gauge(
            name="outbox_depth",
            description="Promised jobs that are not published yet.",
            read=jobs.count_waiting,
        )
