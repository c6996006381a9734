"""`/api/v1`: one line for each resource, in the order of the documentation."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from apps.api import problems
from apps.api.rest import (
    agents,
    approvals,
    budgets,
    decisions,
    docs,
    events,
    keys,
    models,
    pack,
    run_control,
    runs,
    search,
    spaces,
    tool_calls,
    tool_servers,
    tools,
    traces,
    usage,
    versions,
    workflows,
)


@csrf_exempt
def unknown(request: HttpRequest, **_: Any) -> HttpResponse:
    return problems.not_found(request).response()


urlpatterns = [
    path("openapi.json", docs.openapi),
    path("docs", docs.docs_page),
    path("agents", agents.AgentsView.as_view()),
    path("agents/<str:name>", agents.AgentDetailView.as_view()),
    path("agents/<str:name>/versions", agents.AgentVersionsView.as_view()),
    path("workflows", workflows.WorkflowsView.as_view()),
    path("workflows/validate", workflows.WorkflowValidationView.as_view()),
    path("workflows/<str:name>", workflows.WorkflowDetailView.as_view()),
    path("workflows/<str:name>/versions", workflows.WorkflowVersionsView.as_view()),
    path("runs", runs.RunsView.as_view()),
    path("runs/<str:run_id>", runs.RunDetailView.as_view()),
    path("runs/<str:run_id>/journal", runs.RunJournalView.as_view()),
    path("runs/<str:run_id>/events", events.stream_events),
    path("runs/<str:run_id>/cancel", run_control.RunCancelView.as_view()),
    path("runs/<str:run_id>/pause", run_control.RunPauseView.as_view()),
    path("runs/<str:run_id>/resume", run_control.RunResumeView.as_view()),
    path("runs/<str:run_id>/input", run_control.RunInputView.as_view()),
    path("runs/<str:run_id>/effects/<path:step>/resolve", run_control.RunEffectView.as_view()),
    path("usage", usage.UsageView.as_view()),
    path("traces/<str:trace_id>", traces.TraceView.as_view()),
    path("tools", tools.ToolsView.as_view()),
    path("tools/<str:name>/call", tool_calls.ToolCallResource.as_view()),
    path("tools/<str:name>", tools.ToolDetailView.as_view()),
    path("tools/<str:name>/approve-definition", tools.ToolApprovalView.as_view()),
    path("tools/<str:name>/quarantine", tools.ToolQuarantineView.as_view()),
    path("tool-servers", tool_servers.ToolServersView.as_view()),
    path("tool-servers/<str:name>", tool_servers.ToolServerDetailView.as_view()),
    path("tool-servers/<str:name>/refresh", tool_servers.ToolServerRefreshView.as_view()),
    path(
        "tool-servers/<str:name>/approve-definitions",
        tool_servers.ToolServerApprovalView.as_view(),
    ),
    path("spaces", spaces.SpacesView.as_view()),
    path("spaces/<str:space>", spaces.SpaceDetailView.as_view()),
    path("spaces/<str:space>/ingest", spaces.IngestView.as_view()),
    path("spaces/<str:space>/entries", spaces.EntriesView.as_view()),
    path("spaces/<str:space>/entries/<path:key>/history", spaces.EntryHistoryView.as_view()),
    path("spaces/<str:space>/entries/<path:key>/diff", versions.EntryDiffView.as_view()),
    path("spaces/<str:space>/entries/<path:key>/used-by", versions.EntryReadersView.as_view()),
    path("spaces/<str:space>/entries/<path:key>", spaces.EntryDetailView.as_view()),
    path("spaces/<str:space>/export", spaces.ExportView.as_view()),
    path("spaces/<str:space>/snapshots", versions.SnapshotsView.as_view()),
    path("spaces/<str:space>/snapshots/<str:name>", versions.SnapshotDetailView.as_view()),
    path("spaces/<str:space>/rollback", versions.RollbackView.as_view()),
    path("spaces/<str:space>/branches", versions.BranchesView.as_view()),
    path("spaces/<str:space>/merge", versions.MergeView.as_view()),
    path("jobs/<str:job_id>", spaces.JobView.as_view()),
    path("context/search", search.SearchView.as_view()),
    path("context/pack", pack.PackView.as_view()),
    path("approvals", approvals.ApprovalsView.as_view()),
    path("approvals/<str:approval_id>", approvals.ApprovalDetailView.as_view()),
    path("approvals/<str:approval_id>/decide", approvals.ApprovalDecisionView.as_view()),
    path("decisions", decisions.DecisionsView.as_view()),
    path("audit/verify", decisions.AuditVerificationView.as_view()),
    path("budgets", budgets.BudgetsView.as_view()),
    path("budgets/<str:budget_id>", budgets.BudgetDetailView.as_view()),
    path("keys", keys.KeysView.as_view()),
    path("keys/<str:key_id>", keys.KeyDetailView.as_view()),
    path("services", keys.ServicesView.as_view()),
    path("models", models.ModelsView.as_view()),
    path("models/providers", models.ProvidersView.as_view()),
    path("models/providers/<str:name>", models.ProviderDetailView.as_view()),
    path("models/providers/<str:name>/health", models.ProviderHealthView.as_view()),
    path("models/routes", models.RoutesView.as_view()),
    path("models/routes/<str:name>", models.RouteDetailView.as_view()),
    path("models/<str:model_id>", models.ModelDetailView.as_view()),
    path("<path:rest>", unknown),
]
