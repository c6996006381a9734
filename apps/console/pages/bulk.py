"""One action on all runs that the list shows: how many, then the job and how far it is."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_http_methods

from apps.console import presenting, web
from apps.console.facets import Facets
from apps.orchestration import selectors as runs
from apps.orchestration.services import bulk
from apps.orchestration.types.serving import BulkAction
from octavo.kernel import ids
from octavo.kernel.errors import Conflict, NotFound
from octavo.kernel.scope import Scope


@require_http_methods(["GET", "POST"])
@web.signed_in
def ask(request: HttpRequest, scope: Scope) -> HttpResponse:
    """Say how many runs it would be, and start when the person has confirmed that number."""
    given = request.GET if request.method == "GET" else request.POST
    if given.get("action") not in list(BulkAction):
        raise NotFound("There is no such action: runs are cancelled or retried.")
    facets, action = Facets.of(given), BulkAction(given["action"])
    refusal = ""
    if request.method == "POST":
        expected = web.text_of(given, "expected", most=9)
        try:
            job = bulk.start_bulk(
                scope=scope,
                action=action,
                wanted=facets.wanted,
                expected=int(expected) if expected.isdecimal() else 0,
            )
            return redirect("console:bulk_job", job_id=ids.encode(ids.Kind.JOB, job.id))
        except Conflict as moved:
            refusal = moved.detail
    plan = bulk.plan_bulk(scope=scope, action=action, wanted=facets.wanted)
    shown = {
        "action": action,
        "facets": facets,
        "matching": plan.matching,
        "runs": [presenting.run_line(run) for run in plan.sample],
        "refusal": refusal,
    }
    return web.render(request, scope, "bulk", shown, status=409 if refusal else 200)


@require_GET
@web.signed_in
def show(request: HttpRequest, scope: Scope, job_id: str) -> HttpResponse:
    """The whole page, or for htmx the part that changes."""
    job = runs.get_bulk(scope=scope, job_id=ids.decode(ids.Kind.JOB, job_id))
    seen = job.done + job.skipped + job.refused
    shown = {"job": job, "job_id": job_id, "seen": seen, "is_over": job.finished_at is not None}
    is_part = "HX-Request" in request.headers
    return web.render(request, scope, "_bulk_job" if is_part else "bulk_job", shown)
