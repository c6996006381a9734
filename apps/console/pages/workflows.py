"""Workflows: the graph of each, how it came to be so, an editor that says what is wrong, and a form
that starts a run.
"""

import orjson
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.console import charting, diffing, presenting, web
from apps.governance.types import Action
from apps.orchestration import selectors as runs
from apps.orchestration.services import workflow_runs, workflows
from apps.orchestration.types.serving import RunFilter
from apps.orchestration.types.workflows import WorkflowProblem, WorkflowView
from octavo.kernel import ids
from octavo.kernel.errors import InvalidInput, OctavoError
from octavo.kernel.scope import Scope

_MOST, _RECENT = 200, 8
_FIRST = """\
description: What the workflow is for.
nodes:
  - id: answer
    kind: model
    prompt: "{{ input }}"
"""


@require_GET
@web.signed_in
def index(request: HttpRequest, scope: Scope) -> HttpResponse:
    shown = {
        "workflows": runs.list_workflows(scope=scope, limit=_MOST),
        "may_manage": web.may(scope, Action.WORKFLOW_MANAGE),
    }
    return web.render(request, scope, "workflows", shown)


@require_GET
@web.signed_in
def show(request: HttpRequest, scope: Scope, name: str) -> HttpResponse:
    """One version; `?compare=3` lays it beside version 3."""
    workflow = runs.get_workflow(scope=scope, name=name, version=_number(request, "version"))
    return _page(request, scope, workflow)


@require_POST
@web.signed_in
def start(request: HttpRequest, scope: Scope, name: str) -> HttpResponse:
    """Start a run with the text of the form: JSON where it is some, else as it stands."""
    text = web.text_of(request.POST, "input")
    try:
        run = workflow_runs.start_workflow(scope=scope, workflow=name, input=_input(text))
    except InvalidInput as refusal:
        workflow = runs.get_workflow(scope=scope, name=name)
        return _page(request, scope, workflow, given=text, refusal=refusal)
    return redirect("console:run", run_id=ids.encode(ids.Kind.RUN, run.id))


def _page(
    request: HttpRequest,
    scope: Scope,
    workflow: WorkflowView,
    *,
    given: str = "",
    refusal: InvalidInput | None = None,
) -> HttpResponse:
    name, other = workflow.name, _number(request, "compare")
    picture = runs.picture_workflow(scope=scope, name=name, version=workflow.version)
    recent = runs.list_runs(scope=scope, wanted=RunFilter(workflow=name), limit=_RECENT)
    shown = {
        "workflow": workflow,
        "chart": charting.chart_of(picture),
        "versions": runs.list_workflow_versions(scope=scope, name=name, limit=_MOST),
        "other": other,
        "diff": _diff(scope, workflow, other) if other else None,
        "runs": [presenting.run_line(run) for run in recent],
        "given": given,
        "refusal": refusal.detail if refusal else "",
        "may_manage": web.may(scope, Action.WORKFLOW_MANAGE),
        "may_start": web.may(scope, Action.RUN_START),
    }
    return web.render(request, scope, "workflow", shown, status=refusal.status if refusal else 200)


def _diff(scope: Scope, workflow: WorkflowView, other: int) -> list[diffing.Line]:
    before = runs.get_workflow(scope=scope, name=workflow.name, version=other)
    return diffing.compare(before.source, workflow.source)


def _input(text: str) -> str | dict[str, object]:
    try:
        value = orjson.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, dict) else text


@require_http_methods(["GET", "POST"])
@web.signed_in
def create(request: HttpRequest, scope: Scope) -> HttpResponse:
    if request.method == "GET":
        return _form(request, scope, "", _FIRST, is_new=True)
    name = web.text_of(request.POST, "name", most=200)
    return _save(request, scope, name, is_new=True)


@require_http_methods(["GET", "POST"])
@web.signed_in
def edit(request: HttpRequest, scope: Scope, name: str) -> HttpResponse:
    workflow = runs.get_workflow(scope=scope, name=name)
    if request.method == "GET":
        return _form(request, scope, name, workflow.source, is_new=False)
    return _save(request, scope, name, is_new=False)


@require_POST
@web.signed_in
def check(request: HttpRequest, scope: Scope) -> HttpResponse:
    """What is wrong with the text in the editor, as a part of the page."""
    name, source = web.text_of(request.POST, "name", most=200), _source(request)
    problems = workflows.list_problems(scope=scope, source=source, name=name)
    shown = {"problems": problems, "is_checked": True}
    return HttpResponse(render_to_string("console/_problems.html", shown))


def _save(request: HttpRequest, scope: Scope, name: str, *, is_new: bool) -> HttpResponse:
    source = _source(request)
    try:
        saved = workflows.save_workflow(scope=scope, name=name, source=source, create=is_new)
    except OctavoError as refusal:
        return _form(request, scope, name, source, is_new=is_new, refusal=refusal)
    return redirect("console:workflow", name=saved.name)


def _source(request: HttpRequest) -> str:
    """The text as it was typed: browsers send CRLF, which is no part of it."""
    text: str = request.POST.get("source", "")
    return text.replace("\r\n", "\n")


def _form(
    request: HttpRequest,
    scope: Scope,
    name: str,
    source: str,
    *,
    is_new: bool,
    refusal: OctavoError | None = None,
) -> HttpResponse:
    wrong = refusal.errors if isinstance(refusal, InvalidInput) else ()
    shown = {
        "name": name,
        "source": source,
        "is_new": is_new,
        "refusal": refusal.detail if refusal else "",
        "problems": [WorkflowProblem(**error) for error in wrong],
    }
    return web.render(
        request, scope, "workflow_form", shown, status=refusal.status if refusal else 200
    )


def _number(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 9 else None
