"""One run: its picture, its opened step, and what a person may do to it."""

from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_GET, require_POST

from apps.console import inspecting, picturing, presenting, web
from apps.governance.types import Action
from apps.orchestration import selectors as runs
from apps.orchestration.services import control, retrying
from apps.orchestration.types.runs import EventType, EventView, RunView
from octavo.kernel import ids
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import Scope

_FORKABLE = {
    EventType.CONTEXT_RETRIEVED,
    EventType.MODEL_ANSWERED,
    EventType.TOOL_ANSWERED,
}
_DETAIL = '<div id="detail" hx-morph-skip></div>'


@require_GET
@web.signed_in
def show(request: HttpRequest, scope: Scope, run_id: str) -> HttpResponse:
    """The whole page. `?step=s12` or `?step=tools.1.0` opens a step without JavaScript."""
    key = _decoded(run_id)
    rights = picturing.rights_of(scope)
    picture = picturing.draw(scope, key, rights)
    html = picture.html_for(request)
    anchor = request.GET.get("step", "")
    if anchor:
        anchor, opened = _detail_if_any(scope, key, anchor)
        html = html.replace(_DETAIL, f'<div id="detail" hx-morph-skip>{opened}</div>')
    shown = {
        "run": presenting.run_line(runs.get_run(scope=scope, run_id=key)),
        "rights": rights,
        "picture": picture,
        "html": mark_safe(html),  # noqa: S308  templates drew it
        "opened": anchor,
    }
    return web.render(request, scope, "run", shown)


@require_GET
@web.signed_in
def step(request: HttpRequest, scope: Scope, run_id: str, anchor: str) -> HttpResponse:
    """One step, opened, as a part of the page."""
    _, opened = _detail(scope, _decoded(run_id), anchor)
    return HttpResponse(opened)


def _detail_if_any(scope: Scope, run_id: UUID, anchor: str) -> tuple[str, str]:
    """As `_detail`; nothing for a step that the picture does not show, such as the episode's."""
    try:
        return _detail(scope, run_id, anchor)
    except NotFound:
        return "", ""


def _detail(scope: Scope, run_id: UUID, anchor: str) -> tuple[str, str]:
    """The anchor of the step's row, and the step opened."""
    events = runs.list_events(scope=scope, run_id=run_id, limit=picturing.MOST_EVENTS)
    opened = inspecting.inspect(scope, run_id, events, anchor)
    run = runs.get_run(scope=scope, run_id=run_id)
    fork_at = _fork_address(run, opened.result) if web.may(scope, Action.RUN_START) else ""
    shown = {"step": opened, "fork_at": fork_at}
    return opened.anchor, render_to_string("console/_step.html", shown)


def _fork_address(run: RunView, result: EventView) -> str:
    """Where a run of Octavo's own loop can be forked: at a step that has its result."""
    is_driven = run.agent is not None or run.workflow is not None
    if run.is_external or not is_driven or result.type not in _FORKABLE:
        return ""
    return f"/runs/{ids.encode(ids.Kind.RUN, run.id)}/fork?{urlencode({'step': result.step})}"


@require_POST
@web.signed_in
def cancel(request: HttpRequest, scope: Scope, run_id: str) -> HttpResponse:
    control.cancel_run(scope=scope, run_id=_decoded(run_id))
    return redirect("console:run", run_id=run_id)


@require_POST
@web.signed_in
def again(request: HttpRequest, scope: Scope, run_id: str) -> HttpResponse:
    """Do an ended run again, or let a quarantined one go on; on the page of the run that goes."""
    key = _decoded(run_id)
    if request.POST.get("act") == "resume":
        retrying.resume_quarantined(scope=scope, run_id=key)
        return redirect("console:run", run_id=run_id)
    new = retrying.retry_run(scope=scope, run_id=key)
    return redirect("console:run", run_id=ids.encode(ids.Kind.RUN, new.id))


@require_POST
@web.signed_in
def hold(request: HttpRequest, scope: Scope, run_id: str) -> HttpResponse:
    """Pause a run after its present step, or let a paused one go on."""
    act = control.resume_run if request.POST.get("act") == "resume" else control.pause_run
    act(scope=scope, run_id=_decoded(run_id))
    return redirect("console:run", run_id=run_id)


@require_POST
@web.signed_in
def answer(request: HttpRequest, scope: Scope, run_id: str) -> HttpResponse:
    """A person's answer to the question that the agent waits with."""
    content = web.text_of(request.POST, "content")
    control.give_input(scope=scope, run_id=_decoded(run_id), content=content)
    return redirect("console:run", run_id=run_id)


@require_POST
@web.signed_in
def resolve(request: HttpRequest, scope: Scope, run_id: str) -> HttpResponse:
    """A person's word on whether a call that was cut off has happened."""
    control.resolve_effect(
        scope=scope,
        run_id=_decoded(run_id),
        step=web.text_of(request.POST, "step", most=200),
        outcome=web.text_of(request.POST, "outcome", most=40),
        result=web.text_of(request.POST, "result"),
    )
    return redirect("console:run", run_id=run_id)


def _decoded(run_id: str) -> UUID:
    return ids.decode(ids.Kind.RUN, run_id)
